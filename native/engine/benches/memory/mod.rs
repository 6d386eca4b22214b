//! What tables of a million are measured with: the bytes that they hold, and an access that no cache foresees.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{BenchmarkGroup, measurement::WallTime};

const LINES: u32 = 1 << 20;

/// The system's allocator, with what is held counted in bytes as they were asked for.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    // Pages that nobody writes to take no time.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are held now.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// Numbers that are far from each other, of numbers in a row.
pub fn spread(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// `memory`: a walk through 64 MiB that comes by every cache line once.
pub fn walk(group: &mut BenchmarkGroup<'_, WallTime>) {
    let memory: Vec<[u32; 16]> =
        (0..LINES).map(|line| [(line.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)) % LINES; 16]).collect();
    let mut line = 0;
    group.bench_function("memory", |bencher| {
        bencher.iter(|| {
            line = memory[line][0] as usize;
            line
        });
    });
}
