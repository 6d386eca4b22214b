//! Random messages, whole and damaged, against another reader: prost-reflect.

use portcullis_engine::grpc::{Bounds, Described, Room, read};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::descriptors;

const PROTO: &str = r#"
syntax = "proto2";
package all;
enum Colour { RED = 0; BLUE = 1; }
message Every {
  optional double a = 1; optional float b = 2; optional int32 c = 3; optional int64 d = 4; optional uint32 e = 5;
  optional uint64 f = 6; optional sint32 g = 7; optional sint64 h = 8; optional fixed32 i = 9; optional fixed64 j = 10;
  optional sfixed32 k = 11; optional sfixed64 l = 12; optional bool m = 13; optional string n = 14;
  optional bytes o = 15; optional Colour p = 16;
  repeated int32 packed = 17 [packed = true]; repeated fixed64 unpacked = 18; repeated string texts = 19;
  map<string, Every> map = 20; repeated Every items = 21;
  oneof choice { string left = 22; int32 right = 23; }
  repeated group Pair = 24 { optional string key = 25; repeated double values = 26; }
  optional Every inner = 2000;
}
message Ack {}
service All { rpc Call(Every) returns (Ack); }
"#;

const BOUNDS: Bounds = Bounds { depth: 50, fields: 100_000 };

fn described() -> (Described, MessageDescriptor) {
    let set = descriptors(PROTO);
    let pool = DescriptorPool::decode(&set[..]).unwrap();
    (read(&set).unwrap(), pool.get_message_by_name("all.Every").unwrap())
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Fields of the type, each with a value that fits, of a few kinds that differ on the wire.
fn message(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let scalar =
        (prop::sample::select(vec![3u32, 4, 5, 6, 7, 8, 13, 16, 23, 17]), any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            varint(&mut out, u64::from(number) << 3);
            varint(&mut out, value);
            out
        });
    let four = (prop::sample::select(vec![2u32, 9, 11]), any::<[u8; 4]>()).prop_map(|(number, value)| {
        let mut out = Vec::new();
        varint(&mut out, u64::from(number) << 3 | 5);
        out.extend(value);
        out
    });
    let eight = (prop::sample::select(vec![1u32, 10, 12, 18]), any::<[u8; 8]>()).prop_map(|(number, value)| {
        let mut out = Vec::new();
        varint(&mut out, u64::from(number) << 3 | 1);
        out.extend(value);
        out
    });
    let text = (prop::sample::select(vec![14u32, 15, 19, 22]), "\\PC{0,8}")
        .prop_map(|(number, text)| delimited(number, text.as_bytes()));
    let bytes = (prop::sample::select(vec![14u32, 15, 19]), prop::collection::vec(any::<u8>(), 0..6))
        .prop_map(|(number, bytes)| delimited(number, &bytes));
    let packed = prop::collection::vec(any::<u64>(), 0..5).prop_map(|values| {
        let mut inside = Vec::new();
        values.iter().for_each(|value| varint(&mut inside, *value));
        delimited(17, &inside)
    });
    let packed_fixed = prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| delimited(18, &bytes));
    let unknown = (30u32..40, any::<u64>()).prop_map(|(number, value)| {
        let mut out = Vec::new();
        varint(&mut out, u64::from(number) << 3);
        varint(&mut out, value);
        out
    });
    let leaf = prop_oneof![scalar, four, eight, text, bytes, packed, packed_fixed, unknown];
    if depth == 0 {
        return prop::collection::vec(leaf, 0..5).prop_map(|fields| fields.concat()).boxed();
    }
    let inner = || message(depth - 1);
    let nested = (prop::sample::select(vec![20u32, 21]), inner()).prop_map(|(number, inner)| {
        let inner = if number == 20 { [delimited(1, b"k"), delimited(2, &inner)].concat() } else { inner };
        delimited(number, &inner)
    });
    let group = "\\PC{0,3}".prop_map(|key| {
        let mut out = Vec::new();
        varint(&mut out, 24 << 3 | 3);
        out.extend(delimited(25, key.as_bytes()));
        varint(&mut out, 24 << 3 | 4);
        out
    });
    prop::collection::vec(prop_oneof![4 => leaf, 1 => nested, 1 => group], 0..6)
        .prop_map(|fields| fields.concat())
        .boxed()
}

fn delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(number) << 3 | 2);
    varint(&mut out, bytes.len() as u64);
    out.extend(bytes);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_another_reader_takes_is_taken_and_nothing_else(
        mut bytes in message(3),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        if let Some((at, byte)) = damage && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let (described, type_) = described();
        let verdict = described.model.check(0, &bytes, BOUNDS, &mut Room::default());
        let decoded = DynamicMessage::decode(type_, &bytes[..]);
        match &verdict.violation {
            None => prop_assert!(decoded.is_ok(), "taken, though {}", decoded.unwrap_err()),
            // Readers would merge them: nobody knows what the rules say of the parts.
            Some(violation) if violation.errors[0].message.contains("found again") => {}
            // The other reader takes a map's entry for one whatever its wire type says.
            Some(violation) if violation.errors[0].pointer.contains("map[") && decoded.is_ok() => {
                prop_assert!(violation.errors[0].message.contains("wire type"));
            }
            Some(violation) => prop_assert!(decoded.is_err(), "refused with {violation:?}, though another reader takes it"),
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (described, type_) = described();
        let verdict = described.model.check(0, &bytes, BOUNDS, &mut Room::default());
        if verdict.violation.is_none() {
            prop_assert!(DynamicMessage::decode(type_, &bytes[..]).is_ok());
        }
    }

    #[test]
    fn what_is_taken_is_the_same_when_it_was_read_and_written(bytes in message(2)) {
        let (described, type_) = described();
        let check = |bytes: &[u8]| described.model.check(0, bytes, BOUNDS, &mut Room::default()).violation;
        if check(&bytes).is_none() {
            let written = DynamicMessage::decode(type_, &bytes[..]).unwrap().encode_to_vec();
            prop_assert_eq!(check(&written), None);
        }
    }
}
