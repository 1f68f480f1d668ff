//! One step, and a sequence of 100, of one LSTM layer: cellstate in each weight format, and tract.

use cellstate_benches::{Pair, SIZES, STEPS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn lstm(c: &mut Criterion) {
    for size in SIZES {
        let Pair { mut integers, mut floats } = match Pair::new(size) {
            Ok(pair) => pair,
            Err(e) => panic!("the engines do not agree, so their times say nothing: {e:#}"),
        };
        let name = format!("{}x{}", size.0, size.1);
        let mut group = c.benchmark_group("step");
        group.throughput(Throughput::Elements(1));
        for (weights, mine) in &mut integers {
            group.bench_function(BenchmarkId::new(weights.name(), &name), |b| b.iter(|| mine.step()));
        }
        group.bench_function(BenchmarkId::new("tract", &name), |b| b.iter(|| floats.step().expect("tract runs")));
        group.finish();
        let mut group = c.benchmark_group("sequence");
        group.throughput(Throughput::Elements(STEPS as u64));
        for (weights, mine) in &mut integers {
            group.bench_function(BenchmarkId::new(weights.name(), &name), |b| b.iter(|| mine.sequence()));
        }
        group.bench_function(BenchmarkId::new("tract", &name), |b| b.iter(|| floats.sequence().expect("tract runs")));
        group.finish();
    }
}

criterion_group!(benches, lstm);
criterion_main!(benches);
