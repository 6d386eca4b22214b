//! Known greetings, everything that the bytes of one can become on their way, and what is none.

use proptest::prelude::*;

use super::*;

/// Connections of FoxIO's own test data (pcap/tls-alpn-h2.pcap, latest.pcapng, tls12.pcap), with the fingerprints and
/// names that its tool gives them.
const CAPTURED: [(&str, &str, Option<&str>); 3] = [
    (
        "16030100e8010000e40303858226c04fbaeddef4246093b4cfdab38f9dcfef145360e417686575cac49c7000005cc030c02c\
        c028c024c014c00a009f006b0039cca9cca8ccaaff8500c400880081009d003d003500c00084c02fc02bc027c023c013c009\
        009e0067003300be0045009c003c002f00ba0041c011c00700050004c012c0080016000a00ff0100005f0000001700150000\
        127777772e636c6f7564666c6172652e636f6d000b00020100000a00080006001d00170018000d001c001a06010603efef05\
        01050304010403eeeeeded03010303020102030010000e000c02683208687474702f312e31",
        "t12d4605h2_85626a9a5f7f_aaf95bb78ec9",
        Some("www.cloudflare.com"),
    ),
    (
        "16030300b8010000b4030364960ddb84e92e8d5a9be477e2f7112257269dc742143793732813c25ec65af0000026c02cc02b\
        c030c02fc024c023c028c027c00ac009c014c013009d009c003d003c0035002f000a010000650000001b0019000016646973\
        636f766572792e63656d2e636c6f75642e7573000500050100000000000a00080006001d00170018000b00020100000d001a\
        00180804080508060401050102010403050302030202060106030023000000170000ff01000100",
        "t12d190800_d83cc789557e_7af1ed941c26",
        Some("discovery.cem.cloud.us"),
    ),
    (
        "1603010200010001fc0303ecb2691addb2bf6c599c7aaae23de5f42561cc04eb41029acc6fc050a16ac1d22046f8617b580a\
        c9358e2aa44e306d52466bcc989c87c8ca64309f5faf50ba7b4d0022130113031302c02bc02fcca9cca8c02cc030c00ac009\
        c013c014009c009d002f00350100019100000021001f00001c636f6e74696c652e73657276696365732e6d6f7a696c6c612e\
        636f6d00170000ff01000100000a000e000c001d00170018001901000101000b00020100002300000010000e000c02683208\
        687474702f312e310005000501000000000022000a000804030503060302030033006b0069001d00208909858fbeb6ed2f12\
        48ba5b9e2978bead0e840110192c61daed0096798b184400170041044d183d91f5eed35791fa982464e3b0214aaa5f5d1b78\
        616d9b9fbebc22d11f535b2f94c686143136aa795e6e5a875d6c08064ad5b76d44caad766e2483012748002b000504030403\
        03000d0018001604030503060308040805080604010501060102030201002d00020101001c000240010015007a0000000000\
        0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
        0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
        0000000000000000000000000000000000",
        "t13d1715h2_5b57614c22b0_3d5424432f57",
        Some("contile.services.mozilla.com"),
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn seen(bytes: &[u8]) -> Seen {
    look(bytes, &mut Vec::new())
}

fn hello(bytes: &[u8]) -> ClientHello {
    match seen(bytes) {
        Seen::Whole(hello) => hello,
        other => panic!("{other:?}"),
    }
}

/// A list with its length in front, in so many bytes.
fn sized(width: usize, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_be_bytes();
    [&length[8 - width..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(2, content)].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &sized(2, &[&[HOST_NAME][..], &sized(2, name)].concat()))
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    extension(APPLICATION_PROTOCOLS, &sized(2, &names.iter().flat_map(|name| sized(1, name)).collect::<Vec<_>>()))
}

/// A message of TLS 1.2 with these extensions.
fn message(extensions: &[u8]) -> Vec<u8> {
    let extensions = sized(2, extensions);
    let body = [&[3, 3][..], &[7; 32], &sized(1, b""), &sized(2, b"\x13\x01\x13\x02"), &sized(1, &[0]), &extensions];
    [&[CLIENT_HELLO][..], &sized(3, &body.concat())].concat()
}

fn record(piece: &[u8]) -> Vec<u8> {
    [&[HANDSHAKE, 3, 1][..], &sized(2, piece)].concat()
}

/// The message in records that end at these places.
fn split(message: &[u8], ends: &[usize]) -> Vec<u8> {
    let mut places: Vec<usize> = ends.iter().map(|end| end % message.len()).filter(|&end| end > 0).collect();
    places.extend([0, message.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).flat_map(|pair| record(&message[pair[0]..pair[1]])).collect()
}

const GARBAGE: Seen = Seen::Refused(Fault::Garbage);

#[test]
fn gives_the_fingerprints_that_are_known() {
    for (hex, ja4, server_name) in CAPTURED {
        let bytes = bytes(hex);
        let hello = hello(&bytes);
        assert_eq!(hello.ja4, ja4);
        assert_eq!(hello.server_name.as_deref(), server_name);
        assert_eq!(hello.length as usize, bytes.len() - RECORD_HEADER);
        assert_eq!(hello.offers_h2, ja4[8..10] == *"h2");
    }
}

#[test]
fn reads_the_name_in_lower_case_and_every_protocol() {
    let whole = message(&[named(b"API.Example.com"), protocols(&[b"http/1.1", b"h2"])].concat());
    let hello = hello(&record(&whole));
    assert_eq!(hello.server_name.as_deref(), Some("api.example.com"));
    assert!(hello.offers_h2);
    assert!(hello.ja4.starts_with("t12d0202h1_"), "{}", hello.ja4);
    assert_eq!(super::tests::hello(&record(&message(&[]))).server_name, None);
}

#[test]
fn takes_a_message_without_extensions() {
    let whole = message(&[]);
    let mut bare = whole[..whole.len() - 2].to_vec();
    bare[3] -= 2;
    assert!(hello(&record(&bare)).ja4.starts_with("t12i020000_"));
}

#[test]
fn leaves_alone_what_stands_behind() {
    let mut bytes = record(&message(&[]));
    bytes.extend([20, 3, 3, 0, 1, 1]);
    assert!(matches!(seen(&bytes), Seen::Whole(_)));
}

#[test]
fn tells_plain_http_from_garbage() {
    for text in ["GET / HTTP/1.1\r\n", "POST /a", "G", "PRI * HTTP/2.0\r\n\r\n", "OPT"] {
        assert_eq!(seen(text.as_bytes()), Seen::Refused(Fault::PlainHttp), "{text}");
    }
    for text in ["get / HTTP/1.1", "SSH-2.0-x", "\0", "GETX", "PROXY TCP4", "\x15\x03\x01\0\x02\x02\x28"] {
        assert_eq!(seen(text.as_bytes()), GARBAGE, "{text}");
    }
}

#[test]
fn refuses_what_is_not_well_formed() {
    let twice = |extension: Vec<u8>| [extension.clone(), extension].concat();
    let cases = [
        ("two names", twice(named(b"a"))),
        ("two unknown ones of a kind", twice(extension(0x4242, b""))),
        ("an empty name", named(b"")),
        ("a name with NUL", named(b"a\0b")),
        ("a name too long", named(&[b'a'; 256])),
        ("a name of another kind", extension(0, &sized(2, &[&[1][..], &sized(2, b"a")].concat()))),
        ("no name at all", extension(0, b"")),
        (
            "something behind the name",
            extension(0, &[&sized(2, &[&[0][..], &sized(2, b"a")].concat())[..], b"x"].concat()),
        ),
        ("no protocols", protocols(&[])),
        ("an empty protocol", protocols(&[b"h2", b""])),
        ("half a version", extension(43, &sized(1, &[3]))),
        ("no versions", extension(43, &sized(1, b""))),
        ("no signature algorithms", extension(13, &sized(2, b""))),
        ("an extension that is cut", vec![0, 0, 0, 9, 0]),
    ];
    for (what, extensions) in cases {
        assert_eq!(seen(&record(&message(&extensions))), GARBAGE, "{what}");
    }
    let whole = message(&[]);
    let changed = |at: usize, value: u8| {
        let mut changed = whole.clone();
        changed[at] = value;
        record(&changed)
    };
    assert_eq!(seen(&changed(0, 2)), GARBAGE, "another message");
    assert_eq!(seen(&changed(4, 2)), GARBAGE, "version 2.3");
    assert_eq!(seen(&changed(38, 33)), GARBAGE, "a session identity too long");
    assert_eq!(seen(&changed(40, 3)), GARBAGE, "half a cipher suite");
    assert_eq!(seen(&changed(45, 0)), GARBAGE, "no compression method");
    assert_eq!(seen(&record(&[&whole[..], &[0]].concat())), GARBAGE, "a second message in the record");
    let two = record(&[&whole[..], &whole[..]].concat());
    assert_eq!(seen(&two[..RECORD_HEADER + MESSAGE_HEADER]), GARBAGE, "the same, by its headers alone");
    assert_eq!(seen(&[HANDSHAKE, 3, 1, 0, 0]), GARBAGE, "an empty record");
    assert_eq!(seen(&[HANDSHAKE, 2, 0, 0, 1]), GARBAGE, "SSL 2");
    assert_eq!(seen(&[HANDSHAKE, 3, 1, 1, 0, 2]), GARBAGE, "another message is refused by its first byte");
}

#[test]
fn bounds_message_and_records() {
    let most = message(&extension(0x4242, &vec![0; MAX_HELLO_BYTES - message(&extension(0x4242, b"")).len()]));
    assert_eq!(most.len(), MAX_HELLO_BYTES);
    assert_eq!(hello(&split(&most, &[9000])).length as usize, MAX_HELLO_BYTES);
    let over = message(&extension(0x4242, &vec![0; MAX_HELLO_BYTES]));
    let oversize = Seen::Refused(Fault::Oversize);
    assert_eq!(seen(&split(&over, &[9000])), oversize);
    assert_eq!(seen(&split(&over, &[9000])[..RECORD_HEADER + MESSAGE_HEADER]), oversize, "by its header alone");
    assert_eq!(seen(&[HANDSHAKE, 3, 1, 0x40, 1]), oversize, "a record above the bound of records");
    let small = message(&extension(0x4242, &[0; 4 * MAX_RECORDS]));
    let single: Vec<u8> = small.iter().flat_map(|&byte| record(&[byte])).collect();
    assert!(single.len() > MAX_BYTES);
    assert_eq!(seen(&single[..MAX_BYTES]), oversize, "too many records");
}

proptest! {
    /// Wherever it is split and however little of it has come: what it says is the same, and what is wanted is never
    /// more than what there will be.
    #[test]
    fn says_the_same_however_it_comes(
        name in "[a-z]{1,20}",
        padding in 0_usize..2000,
        ends in prop::collection::vec(0_usize..3000, 0..40),
        came in any::<prop::sample::Index>(),
    ) {
        let extensions = [named(name.as_bytes()), protocols(&[b"h2"]), extension(21, &vec![0; padding])].concat();
        let whole = message(&extensions);
        let bytes = split(&whole, &ends);
        let told = hello(&bytes);
        prop_assert_eq!(&told, &hello(&record(&whole)));
        prop_assert_eq!(told.server_name.as_deref(), Some(&*name));
        let came = came.index(bytes.len());
        match seen(&bytes[..came]) {
            Seen::Partial { wants } => {
                prop_assert!(wants > came && wants <= bytes.len());
                prop_assert!(came > 0 || wants == RECORD_HEADER);
            }
            other => prop_assert!(false, "{:?} of {} of {} bytes", other, came, bytes.len()),
        }
        // Following what is wanted ends, at the latest after two looks a record.
        let (mut came, mut looks) = (0, 0);
        while let Seen::Partial { wants } = seen(&bytes[..came]) {
            prop_assert!(wants > came);
            (came, looks) = (wants, looks + 1);
        }
        prop_assert_eq!(came, bytes.len());
        prop_assert!(looks <= 2 * (ends.len() + 1));
    }

    #[test]
    fn nothing_makes_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), is_record in any::<bool>()) {
        if is_record {
            bytes.splice(0..0, [HANDSHAKE, 3, 1, 1, 0, CLIENT_HELLO, 0]);
        }
        let _ = seen(&bytes);
    }

    #[test]
    fn one_changed_byte_is_read_or_refused(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = bytes(CAPTURED[0].0);
        let place = place.index(bytes.len());
        bytes[place] = value;
        if let Seen::Whole(hello) = seen(&bytes) {
            prop_assert_eq!(hello.ja4.len(), 36);
            prop_assert_eq!(hello.length as usize, bytes.len() - RECORD_HEADER);
        }
    }
}
