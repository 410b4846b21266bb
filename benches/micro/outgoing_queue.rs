//! The outgoing queue (R12, R13), in front of a socket that takes what it is told to.

use std::{
    fs::File,
    io::{self, IoSlice},
};

use bytes::Bytes;
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};

use crate::{
    outgoing::{Flushed, Outgoing, Sink, Spare},
    producer::{Produced, Producer},
};

/// Takes so many bytes of each write.
struct Taking(usize);

impl Sink for Taking {
    fn write(&mut self, slices: &[IoSlice<'_>], _: bool) -> io::Result<usize> {
        let offered: usize = black_box(slices).iter().map(|slice| slice.len()).sum();
        Ok(offered.min(self.0))
    }

    fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(Default)]
struct Rig {
    queue: Outgoing,
    spare: Spare,
}

impl Rig {
    /// Until everything is sent; each write takes up to `most` bytes.
    fn flush(&mut self, most: usize) -> usize {
        let queued = self.queue.len();
        let mut budget = usize::MAX;
        let flushed = self
            .queue
            .flush(&mut budget, true, &mut self.spare, &mut Taking(most));
        assert!(matches!(flushed, Flushed::Empty));
        queued
    }
}

/// What `write!` to a channel does, 100 times a flush.
#[divan::bench(args = [16, 80, 1000])]
fn copies_100_and_flush(bencher: Bencher<'_, '_>, size: usize) {
    let data = vec![b'x'; size];
    let mut rig = Rig::default();
    bencher.counter(ItemsCount::new(100usize)).bench_local(|| {
        for _ in 0..100 {
            rig.queue.copy(black_box(&data), &mut rig.spare);
        }
        rig.flush(usize::MAX)
    });
}

/// The answer to one small request.
#[divan::bench]
fn copy_1_and_flush(bencher: Bencher<'_, '_>) {
    let mut rig = Rig::default();
    bencher.bench_local(|| {
        rig.queue.copy(black_box(&[b'x'; 80]), &mut rig.spare);
        rig.flush(usize::MAX)
    });
}

#[divan::bench(args = [80, 2048, 2049, 65536])]
fn bytes_100_and_flush(bencher: Bencher<'_, '_>, size: usize) {
    let data = Bytes::from(vec![b'x'; size]);
    let mut rig = Rig::default();
    bencher
        .counter(ItemsCount::new(100usize))
        .counter(BytesCount::new(100 * size))
        .bench_local(|| {
            for _ in 0..100 {
                rig.queue
                    .push(&mut black_box(&data).clone(), &mut rig.spare);
            }
            rig.flush(usize::MAX)
        });
}

/// A header and a body, both ways: the small piece joins no large one.
#[divan::bench]
fn header_copied_and_body_shared(bencher: Bencher<'_, '_>) {
    let body = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut rig = Rig::default();
    bencher.bench_local(|| {
        rig.queue.copy(black_box(&[b'h'; 200]), &mut rig.spare);
        rig.queue
            .push(&mut black_box(&body).clone(), &mut rig.spare);
        rig.flush(usize::MAX)
    });
}

/// A long queue in front of a slow peer: the time per piece should not depend on how many there are.
#[divan::bench(args = [100, 1000, 10_000])]
fn slow_peer_of_a_long_queue(bencher: Bencher<'_, '_>, pieces: usize) {
    let data = Bytes::from(vec![b'x'; 4096]);
    let mut rig = Rig::default();
    bencher.counter(ItemsCount::new(pieces)).bench_local(|| {
        for _ in 0..pieces {
            rig.queue
                .push(&mut black_box(&data).clone(), &mut rig.spare);
        }
        rig.flush(4096)
    });
}

struct Blocks {
    block: Bytes,
    left: usize,
}

impl Producer for Blocks {
    fn more(&mut self) -> std::io::Result<Produced> {
        if self.left == 0 {
            return Ok(Produced::Done);
        }
        self.left -= 1;
        Ok(Produced::Data(self.block.clone()))
    }
}

/// One producer of 100 blocks, behind a header.
#[divan::bench(args = [1024, 65536])]
fn producer_of_100_blocks(bencher: Bencher<'_, '_>, size: usize) {
    let block = Bytes::from(vec![b'x'; size]);
    let mut rig = Rig::default();
    bencher.counter(ItemsCount::new(100usize)).bench_local(|| {
        rig.queue.copy(black_box(&[b'h'; 200]), &mut rig.spare);
        let block = block.clone();
        rig.queue
            .push_producer(Box::new(Blocks { block, left: 100 }));
        rig.flush(usize::MAX)
    });
}

/// As many responses, each a header and a producer that gives all at once: a pipeline of small files.
#[divan::bench(args = [10, 1000])]
fn headers_and_short_producers(bencher: Bencher<'_, '_>, responses: usize) {
    let block = Bytes::from(vec![b'x'; 1024]);
    let mut rig = Rig::default();
    bencher.counter(ItemsCount::new(responses)).bench_local(|| {
        for _ in 0..responses {
            rig.queue.copy(black_box(&[b'h'; 200]), &mut rig.spare);
            rig.queue.push_producer(Box::new(block.clone()));
        }
        rig.flush(usize::MAX)
    });
}

/// Takes every write in two.
#[divan::bench]
fn short_writes(bencher: Bencher<'_, '_>) {
    let data = [b'x'; 1000];
    let mut rig = Rig::default();
    bencher.counter(ItemsCount::new(60usize)).bench_local(|| {
        for _ in 0..60 {
            rig.queue.copy(black_box(&data), &mut rig.spare);
        }
        rig.flush(31_000)
    });
}
