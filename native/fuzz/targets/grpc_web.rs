//! gRPC-Web both ways: text of a client's in any pieces means one thing, and an answer's frames hold what the origin sent.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use portcullis_engine::grpc::web::{Answer, TextReader, status_of};
use portcullis_engine::grpc::{Dialect, deadline};

fuzz_target!(|data: &[u8]| {
    let Some((&size, data)) = data.split_first() else { return };
    let size = usize::from(size).max(1);

    let whole = read(std::iter::once(data));
    assert_eq!(whole, read(data.chunks(size)));
    // Groups are read by themselves: padding may stand in any of them.
    let groups: Option<Vec<Vec<u8>>> = data.chunks(4).map(|four| STANDARD.decode(four).ok()).collect();
    assert_eq!(whole, groups.map(|groups| groups.concat()));

    let (block, body) = data.split_at(size.min(data.len()));
    let head = [b"200 OK\r\ncontent-type: application/grpc\r\n", block].concat();
    let answers = [Dialect::Web, Dialect::WebText].map(|dialect| {
        let mut answer = Answer::new(dialect, dialect.essence().to_owned());
        let (mut block, mut out) = (Vec::new(), Vec::new());
        assert!(answer.head(&head, &mut block));
        assert_eq!(status_of(&block), None);
        for piece in body.chunks(size) {
            answer.piece(piece, &mut out);
        }
        answer.trailers(&head, &mut out);
        answer.end(&mut out);
        out
    });
    assert_eq!(read(std::iter::once(answers[1].as_slice())).as_ref(), Some(&answers[0]));
    assert!(answers[0].starts_with(body));
    let frame = &answers[0][body.len()..];
    assert_eq!(frame[0], 0x80);
    assert_eq!(u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize, frame.len() - 5);

    if let Some(us) = std::str::from_utf8(data).ok().and_then(deadline::parse) {
        let mut text = String::new();
        deadline::write(&mut text, us);
        assert!(deadline::parse(&text).is_some_and(|read| read <= us));
    }
});

fn read<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let (mut reader, mut out) = (TextReader::default(), Vec::new());
    pieces.try_for_each(|piece| reader.push(piece, &mut out)).and_then(|()| reader.end()).ok().map(|()| out)
}
