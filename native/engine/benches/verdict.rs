//! Bytes to verdict of the bodies in a folder, against the schema there: the engine's half of `npm run bench --
//! --scenario ajv`, which writes that folder (BENCH_VERDICT) and gives ajv the same.
//!
//! `openapi.json` is the policy of one operation with one body, `*.body` fit it, `*.refused` do not. Without a folder
//! there is nothing to measure.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis_engine::policy::HostOpenapi;
use portcullis_engine::schema::{Chosen, Schemas};

fn verdict(criterion: &mut Criterion) {
    let Some(folder) = env::var_os("BENCH_VERDICT").map(PathBuf::from) else { return };
    let openapi: HostOpenapi =
        serde_json::from_slice(&fs::read(folder.join("openapi.json")).expect("openapi.json")).expect("a policy");
    let mut problems = Vec::new();
    let schemas = Schemas::compile(&openapi, "", &mut problems);
    assert_eq!(problems, []);

    let mut group = criterion.benchmark_group("verdict");
    let files = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let body = fs::read(&file).expect("a file");
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("refused") => assert!(schemas.check(&Chosen::plain(0), &body).is_err(), "{name} should be refused"),
            Some("body") => {
                group.throughput(Throughput::Bytes(body.len() as u64));
                group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
                    bencher.iter(|| schemas.check(&Chosen::plain(0), black_box(body)).expect("a body that fits"));
                });
            }
            _ => {}
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = verdict
}
criterion_main!(benches);
