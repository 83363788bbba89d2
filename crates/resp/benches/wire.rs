//! What a request and a reply cost on the wire's side: cutting pipelines, writing replies, matching patterns.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use resp::{ArgsScratch, Batch, Parser, Reply, glob, number};

fn main() {
    divan::main();
}

/// `SET` with a 16-byte key and a 32-byte value.
const SET: &[u8] =
    b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000123456\r\n$32\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

#[divan::bench(args = [1, 16, 64])]
fn cut_pipeline(bencher: Bencher<'_, '_>, requests: usize) {
    let buffer = SET.repeat(requests);
    let (mut parser, mut batch, mut scratch) =
        (Parser::new(), Batch::default(), ArgsScratch::default());
    bencher.counter(ItemsCount::new(requests)).bench_local(|| {
        let cut = parser.cut_all(black_box(&buffer), &mut batch);
        let mut args = scratch.take();
        for index in 0..batch.len() {
            batch.args(index, &buffer, &mut args);
            black_box(&args);
        }
        scratch.put(args);
        cut
    });
}

/// A big request that arrives in pieces of 16 KB.
#[divan::bench]
fn cut_one_in_pieces(bencher: Bencher<'_, '_>) {
    let mut buffer = b"*20001\r\n$5\r\nRPUSH\r\n".to_vec();
    buffer.extend(b"$16\r\nkey:000000123456\r\n".repeat(20_000));
    let (mut parser, mut batch) = (Parser::new(), Batch::default());
    bencher
        .counter(BytesCount::new(buffer.len()))
        .bench_local(|| {
            let mut read = 0;
            while read < buffer.len() {
                read = (read + 16 * 1024).min(buffer.len());
                let _ = black_box(parser.cut_all(&buffer[..read], &mut batch));
            }
            assert_eq!(batch.len(), 1);
        });
}

#[divan::bench(args = [1, 16, 64])]
fn write_bulks(bencher: Bencher<'_, '_>, replies: usize) {
    let mut reply = Reply::new();
    bencher.counter(ItemsCount::new(replies)).bench_local(|| {
        for _ in 0..replies {
            reply.bulk(black_box(&SET[..32]));
        }
        reply.clear();
    });
}

#[divan::bench(args = ["3", "0.1", "-12345.678901234567", "1e300"])]
fn print_double(value: &str) -> usize {
    let value = number::parse_double(value.as_bytes()).unwrap_or_default();
    number::DoubleBuffer::new().format(black_box(value)).len()
}

#[divan::bench(args = ["*", "key:*", "*123*", "k?y:[0-9]*6"])]
fn match_glob(pattern: &str) -> bool {
    glob::matches(
        black_box(pattern.as_bytes()),
        black_box(b"key:000000123456"),
    )
}
