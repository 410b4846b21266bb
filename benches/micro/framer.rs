//! The framer (R15–R18), driven as a `ChatDispatcher` drives it: whole frames first, step by step what is left.

use divan::{Bencher, black_box, counter::BytesCount};

use crate::source::chat::{
    framer::{Framer, Step, whole_frames::WholeFrames},
    terminator::Terminator,
};

/// What one read gives at most, by default.
const READ: usize = 64 * 1024;

/// Hands out `input`; `found` is called after each frame and tells whether it has changed the terminator.
fn hand_out(framer: &mut Framer, mut input: &[u8], mut found: impl FnMut(&mut Framer) -> bool) {
    let mut frames = WholeFrames::none();
    loop {
        'find: while !input.is_empty() && framer.find_whole_frames(input, &mut frames) {
            let ahead = frames.ahead().iter().map(|&len| usize::from(len));
            for len in std::iter::once(frames.first).chain(ahead) {
                let frame;
                (frame, input) = input.split_at(len);
                black_box(&frame[..len - frames.terminator_len]);
                if found(framer) {
                    continue 'find;
                }
            }
            framer.note_used(&frames);
        }
        if step_through(framer, &mut input, &mut found) == Left::Nothing {
            return;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Left {
    Nothing,
    WholeFrames,
}

#[inline(never)]
fn step_through(
    framer: &mut Framer,
    input: &mut &[u8],
    found: &mut impl FnMut(&mut Framer) -> bool,
) -> Left {
    loop {
        match framer.step(input) {
            Step::Data(data) => drop(black_box(data)),
            Step::Held(data) => drop(black_box(data)),
            Step::Terminator => {
                found(framer);
                if !input.is_empty() && framer.takes_whole_frames() {
                    return Left::WholeFrames;
                }
            }
            Step::TooLong => unreachable!("there is no limit"),
            Step::NeedInput => return Left::Nothing,
        }
    }
}

/// As many whole ones of `frame` as one read takes.
fn read_of(frame: &[u8]) -> Vec<u8> {
    frame.repeat(READ / frame.len())
}

/// A line of so many bytes, its end included.
fn line(length: usize, end: &str) -> Vec<u8> {
    let mut line = vec![b'x'; length - end.len()];
    line.extend_from_slice(end.as_bytes());
    line
}

fn bench(bencher: Bencher<'_, '_>, terminator: impl Into<Terminator>, input: &[u8]) {
    let mut framer = Framer::new(terminator);
    bencher
        .counter(BytesCount::of_slice(input))
        .bench_local(|| hand_out(&mut framer, black_box(input), |_| false));
}

#[divan::bench(args = [2, 20, 80, 1000])]
fn crlf_lines(bencher: Bencher<'_, '_>, length: usize) {
    bench(bencher, "\r\n", &read_of(&line(length, "\r\n")));
}

#[divan::bench(args = [1, 20, 80, 1000])]
fn lf_lines(bencher: Bencher<'_, '_>, length: usize) {
    bench(bencher, "\n", &read_of(&line(length, "\n")));
}

/// Reads that begin and end within a line.
#[divan::bench(args = [20, 80, 1000])]
fn crlf_lines_cut_by_reads(bencher: Bencher<'_, '_>, length: usize) {
    let mut input = read_of(&line(length, "\r\n"));
    input.rotate_left(length / 2);
    bench(bencher, "\r\n", &input);
}

#[divan::bench(args = [2, 10, 50])]
fn http_heads(bencher: Bencher<'_, '_>, lines: usize) {
    let mut head = line(40, "\r\n").repeat(lines);
    head.extend_from_slice(b"\r\n");
    bench(bencher, "\r\n\r\n", &read_of(&head));
}

#[divan::bench(args = [16, 1024, 16384])]
fn counted_bodies(bencher: Bencher<'_, '_>, length: u64) {
    let input = vec![b'x'; READ];
    let mut framer = Framer::new(length);
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| {
            hand_out(&mut framer, black_box(&input), |framer| {
                framer.set_terminator(length);
                true
            });
        });
}

/// The terminator changes twice a request, as for a POST.
#[divan::bench]
fn http_heads_and_counted_bodies(bencher: Bencher<'_, '_>) {
    let mut request = line(40, "\r\n").repeat(5);
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(&[b'x'; 100]);
    let input = request.repeat(READ / request.len());
    let mut framer = Framer::new("\r\n\r\n");
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| {
            let mut in_body = false;
            hand_out(&mut framer, black_box(&input), |framer| {
                in_body = !in_body;
                framer.set_terminator(if in_body {
                    Terminator::from(100)
                } else {
                    "\r\n\r\n".into()
                });
                true
            });
        });
}

#[divan::bench]
fn no_terminator(bencher: Bencher<'_, '_>) {
    bench(bencher, Terminator::None, &vec![b'x'; READ]);
}

/// The same number of bytes in reads of so many.
#[divan::bench(args = [1, 7, 1460])]
fn crlf_lines_of_80_in_reads_of(bencher: Bencher<'_, '_>, size: usize) {
    let input = read_of(&line(80, "\r\n"));
    let mut framer = Framer::new("\r\n");
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| {
            for read in black_box(&input).chunks(size) {
                hand_out(&mut framer, read, |_| false);
            }
        });
}

/// What an ill-meaning peer sends: each byte, or nearly, begins a terminator that does not come.
mod worst {
    use super::*;

    #[divan::bench]
    fn cr_only_for_crlf(bencher: Bencher<'_, '_>) {
        bench(bencher, "\r\n", &[b'\r'; READ]);
    }

    #[divan::bench]
    fn cr_only_for_crlf_crlf(bencher: Bencher<'_, '_>) {
        bench(bencher, "\r\n\r\n", &[b'\r'; READ]);
    }

    #[divan::bench]
    fn cr_lf_cr_x_for_crlf_crlf(bencher: Bencher<'_, '_>) {
        bench(bencher, "\r\n\r\n", &read_of(b"\r\n\rx"));
    }

    #[divan::bench]
    fn cr_only_in_reads_of_1(bencher: Bencher<'_, '_>) {
        let input = [b'\r'; READ];
        let mut framer = Framer::new("\r\n");
        bencher.counter(BytesCount::new(READ)).bench_local(|| {
            for read in black_box(&input).chunks(1) {
                hand_out(&mut framer, read, |_| false);
            }
        });
    }

    /// A terminator of 1,000 equal bytes and one other, in reads of 999.
    #[divan::bench]
    fn long_terminator_never_completed(bencher: Bencher<'_, '_>) {
        let mut terminator = vec![b'a'; 1000];
        terminator.push(b'b');
        let mut framer = Framer::new(terminator);
        let input = [b'a'; READ];
        bencher.counter(BytesCount::new(READ)).bench_local(|| {
            for read in black_box(&input).chunks(999) {
                hand_out(&mut framer, read, |_| false);
            }
        });
    }
}
