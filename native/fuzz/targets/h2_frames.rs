//! The guard ahead of HTTP/2: what it counts does not depend on how reads cut the bytes.
#![no_main]

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;
use portcullis_listener::h2::guard::Frames;

fuzz_target!(|input: (Vec<u8>, u8)| {
    let (bytes, cut) = input;
    let whole = counted(&[&bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(cut).max(1)).collect();
    assert_eq!(counted(&pieces), whole);
});

fn counted(pieces: &[&[u8]]) -> (u64, u64, bool, bool) {
    let (mut frames, written) = (Frames::default(), Cell::new(0));
    let is_flood = pieces.iter().any(|piece| frames.read(piece, 1, &written).is_err());
    (frames.streams, frames.resets, frames.settings_seen, is_flood)
}
