//! One message of a call against its descriptors, bytes to verdict; and what another reader takes to decode it.
//!
//! `cargo bench --profile release -p portcullis-engine --bench grpc`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis_engine::grpc::{Bounds, Room, Sources, compile, read};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::json;

/// An order; `rules`: with what protovalidate would ask of it.
fn proto(rules: bool) -> String {
    let rule = |text: &str| if rules { format!("[(buf.validate.field).{text}]") } else { String::new() };
    format!(
        r#"syntax = "proto3"; package shop; import "buf/validate/validate.proto";
        message Order {{
          string id = 1 {}; User user = 2; repeated Item items = 3 {}; int64 at = 4; map<string, string> labels = 5;
        }}
        message User {{ string id = 1 {}; string mail = 2; bool is_new = 3; }}
        message Item {{ string sku = 1 {}; uint32 quantity = 2 {}; double price = 3 {}; string text = 4 {}; }}
        message Ack {{}}
        service Orders {{ rpc Place(Order) returns (Ack); }}"#,
        rule("string.uuid = true"),
        rule("repeated = { min_items: 1, max_items: 100 }"),
        rule("string.min_len = 1"),
        rule("string.pattern = \"^[A-Z]{2}-[0-9]{4}$\""),
        rule("uint32 = { gte: 1, lte: 1000 }"),
        rule("double.gte = 0"),
        rule("string.max_len = 100"),
    )
}

fn message(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grpc_message");
    for rules in [false, true] {
        let texts = vec![("a.proto".to_owned(), proto(rules))];
        let set = compile(Sources { files: vec!["a.proto".to_owned()], texts }).expect("it compiles");
        let described = read(&set).expect("descriptors");
        let pool = DescriptorPool::decode(&set[..]).expect("descriptors");
        let type_ = pool.get_message_by_name("shop.Order").expect("a message");
        let items: Vec<_> = (0..17)
            .map(|n| json!({ "sku": format!("AB-{n:04}"), "quantity": n + 1, "price": 9.95, "text": "leave it at the door" }))
            .collect();
        let order = json!({ "id": "8b72987b-024a-43b3-b4cf-647a1f925c5d", "user": { "id": "ada", "mail": "ada@example.com" },
            "items": items, "at": "1893456000000", "labels": { "channel": "app", "campaign": "spring" } });
        let bytes = DynamicMessage::deserialize(type_.clone(), order).expect("an order").encode_to_vec();
        assert!((1000..1100).contains(&bytes.len()), "{} bytes", bytes.len());
        let bounds = Bounds { depth: 64, fields: 100_000 };
        let mut room = Room::default();
        let check = |room: &mut Room| described.model.check(0, black_box(&bytes), bounds, room);
        assert_eq!(check(&mut room).violation, None);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(if rules { "with_rules" } else { "shape" }, |bencher| bencher.iter(|| check(&mut room)));
        if !rules {
            group.bench_function("prost_reflect_decodes", |bencher| {
                bencher.iter(|| DynamicMessage::decode(type_.clone(), black_box(&bytes[..])).expect("an order"));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = message
}
criterion_main!(benches);
