//! The client inside a real libuv loop: the system's library stands in for the one that node exports.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use portcullis_forward::uv::InLoop;
use portcullis_forward::{Arena, Entry, Kind, OriginId, Token};

use crate::support::{GET, OK, Site, request, spec};

type New = unsafe extern "C" fn() -> *mut c_void;
type Run = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
type TimerInit = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type TimerStart = unsafe extern "C" fn(*mut c_void, unsafe extern "C" fn(*mut c_void), u64, u64) -> c_int;
type CloseHandle = unsafe extern "C" fn(*mut c_void, Option<unsafe extern "C" fn(*mut c_void)>);

struct Library {
    new: New,
    run: Run,
    close: Close,
    timer_init: TimerInit,
    timer_start: TimerStart,
    close_handle: CloseHandle,
}

/// One turn of a loop, which waits until something happens.
const ONCE: c_int = 1;

unsafe extern "C" fn nothing(_: *mut c_void) {}

/// None where the system has no libuv: then only the end-to-end tests run in a loop.
fn library() -> Option<Library> {
    // SAFETY: names end in NUL, and the signatures are libuv's.
    unsafe {
        if libc::dlopen(c"libuv.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
            eprintln!("skipped: no libuv.so.1 on this system");
            return None;
        }
        let find = |name: &CStr| libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        Some(Library {
            new: mem::transmute::<*mut c_void, New>(find(c"uv_loop_new")),
            run: mem::transmute::<*mut c_void, Run>(find(c"uv_run")),
            close: mem::transmute::<*mut c_void, Close>(find(c"uv_loop_close")),
            timer_init: mem::transmute::<*mut c_void, TimerInit>(find(c"uv_timer_init")),
            timer_start: mem::transmute::<*mut c_void, TimerStart>(find(c"uv_timer_start")),
            close_handle: mem::transmute::<*mut c_void, CloseHandle>(find(c"uv_close")),
        })
    }
}

struct Thread {
    library: Library,
    uv_loop: *mut c_void,
    in_loop: InLoop,
    entries: Rc<RefCell<Vec<Entry>>>,
    seen: Rc<RefCell<Vec<Entry>>>,
    turns: Rc<Cell<usize>>,
    /// Stands in for the front door's sockets, which keep the loop alive: a timer that fires after a test has failed.
    alive: Box<[u64; 64]>,
    _bytes: Vec<u8>,
}

impl Thread {
    /// Sends another request inside the hand-over for each of the first `again` entries.
    fn new(again: usize, origin_of: impl Fn(&InLoop) -> OriginId) -> Option<(Thread, OriginId)> {
        let library = library()?;
        let mut bytes = vec![0u8; Arena::MIN_BYTES];
        let entries = Rc::new(RefCell::new(vec![Entry::default(); 64]));
        let (seen, turns) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let itself: Rc<RefCell<Option<(InLoop, OriginId)>>> = Rc::default();
        let arena = Arena {
            bytes: bytes.as_mut_ptr(),
            len: bytes.len(),
            entries: entries.borrow_mut().as_mut_ptr(),
            capacity: 64,
        };
        let on_turn = {
            let (entries, seen, turns, itself) = (entries.clone(), seen.clone(), turns.clone(), itself.clone());
            move |count: usize| {
                turns.set(turns.get() + 1);
                for entry in &entries.borrow()[..count] {
                    if seen.borrow().len() < again {
                        let itself = itself.borrow();
                        let (in_loop, origin) = itself.as_ref().unwrap();
                        send(in_loop, *origin, entry.slot, entry.generation + 1);
                    }
                    seen.borrow_mut().push(*entry);
                }
            }
        };
        // SAFETY: loop and memory outlive the client, which the test shuts down.
        let (uv_loop, in_loop) = unsafe {
            let uv_loop = (library.new)();
            (uv_loop, InLoop::start(uv_loop, arena, Box::new(on_turn)).unwrap())
        };
        let mut alive = Box::new([0; 64]);
        // SAFETY: more memory than a timer takes, closed in `shut`.
        unsafe {
            (library.timer_init)(uv_loop, alive.as_mut_ptr().cast());
            (library.timer_start)(alive.as_mut_ptr().cast(), nothing, 6_000, 6_000);
        }
        let origin = origin_of(&in_loop);
        *itself.borrow_mut() = Some((in_loop.clone(), origin));
        Some((Thread { library, uv_loop, in_loop, entries, seen, turns, alive, _bytes: bytes }, origin))
    }

    fn run_until(&self, done: impl Fn() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(5);
        while !done() {
            assert!(Instant::now() < give_up, "{:?}", self.seen.borrow());
            // SAFETY: a loop of this thread.
            unsafe { (self.library.run)(self.uv_loop, ONCE) };
        }
    }

    fn shut(mut self) {
        let closed = Rc::new(Cell::new(false));
        let told = closed.clone();
        self.in_loop.shutdown(Box::new(move || told.set(true)));
        self.run_until(|| closed.get());
        assert!(self.in_loop.is_closed());
        // SAFETY: an open handle, closed once; one more turn ends its closing.
        unsafe {
            (self.library.close_handle)(self.alive.as_mut_ptr().cast(), None);
            (self.library.run)(self.uv_loop, ONCE);
        }
        // Fails with EBUSY while any handle is open: in a worker thread that is the end of the process.
        // SAFETY: a loop of this thread.
        assert_eq!(unsafe { (self.library.close)(self.uv_loop) }, 0);
        // The entries' memory lived as long as the client.
        drop(self.entries);
    }
}

fn send(in_loop: &InLoop, origin: OriginId, slot: u32, generation: u32) {
    in_loop.client().send(Token { slot, generation }, origin, request(GET));
}

#[test]
fn answers_are_handed_over_in_the_loop_and_requests_may_be_sent_from_there() {
    let site = Site::new();
    let wanted = site.spec();
    let Some((thread, origin)) = Thread::new(21, |it| it.client().origin(&wanted)) else { return };
    for slot in 0..3 {
        send(&thread.in_loop, origin, slot, 0);
    }
    let server = std::thread::spawn(move || {
        let mut peers: Vec<_> = (0..3).map(|_| site.accept()).collect();
        // Three requests are always under way, one on each connection.
        for n in 0..24 {
            let peer = &mut peers[n % 3];
            peer.read_head();
            peer.say(OK);
        }
        peers
    });
    thread.run_until(|| thread.seen.borrow().len() == 24);
    assert!(thread.seen.borrow().iter().all(|it| it.kind == Kind::Whole as u32 && it.status == 200));
    assert!(thread.turns.get() <= 24);
    let peers = server.join().unwrap();
    // The origin closes: the pool forgets its connections.
    drop(peers);
    let counters = thread.in_loop.client().counters();
    let open = || counters.open_now.load(std::sync::atomic::Ordering::Relaxed);
    thread.run_until(|| open() == 0);
    thread.shut();
}

#[test]
fn a_failure_inside_the_submitting_call_is_handed_over_without_any_socket() {
    let Some((thread, origin)) = Thread::new(5, |it| it.client().origin(&spec(&[]))) else { return };
    send(&thread.in_loop, origin, 0, 0);
    assert!(thread.seen.borrow().is_empty());
    thread.run_until(|| thread.seen.borrow().len() == 6);
    assert!(thread.seen.borrow().iter().all(|it| it.kind == Kind::Failed as u32));
    thread.shut();
}

#[test]
fn a_reset_connection_is_read_to_its_end() {
    let site = Site::new();
    let wanted = site.spec();
    let Some((thread, origin)) = Thread::new(0, |it| it.client().origin(&wanted)) else { return };
    send(&thread.in_loop, origin, 0, 0);
    let mut peer = site.accept();
    let counters = thread.in_loop.client().counters();
    thread.run_until(|| counters.opened.load(std::sync::atomic::Ordering::Relaxed) == 1);
    let before = Instant::now();
    thread.run_until(|| before.elapsed() > Duration::from_millis(120));
    // Unread request bytes make the closing a reset.
    peer.say(OK);
    drop(peer);
    thread.run_until(|| thread.seen.borrow().len() == 1);
    assert_eq!(thread.seen.borrow()[0].kind, Kind::Whole as u32);
    thread.shut();
}

#[test]
fn shutdown_under_way_closes_every_handle() {
    let site = Site::new();
    let wanted = site.spec();
    let Some((thread, origin)) = Thread::new(0, |it| it.client().origin(&wanted)) else { return };
    for slot in 0..6 {
        send(&thread.in_loop, origin, slot, 0);
    }
    thread.shut();
}
