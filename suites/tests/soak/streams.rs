//! Traffic of echo servers, lines, the sink, the source and the notes.

use std::{thread, time::Duration};

use socket2::SockAddr;

use crate::wire::{
    Step, at, connect, connect_narrow, ensure, expect, expect_any_end, expect_end, expect_slowly,
    half_close, line, pattern, reader, reset, send,
};

/// Pieces of several sizes there and back, and the end of file.
pub fn echo(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    for length in [1, 700, 30_000, 2, 4096] {
        let data = pattern(round + length as u64, length);
        send(&socket, &data)?;
        expect(&socket, &data).map_err(at(&format!("{length} bytes")))?;
    }
    half_close(&socket)?;
    expect_end(&socket)
}

/// Says all, ends its side, and only then reads.
pub fn echo_after_half_close(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    let data = pattern(round, 20_000);
    send(&socket, &data)?;
    half_close(&socket)?;
    expect(&socket, &data)?;
    expect_end(&socket)
}

/// Leaves with its answer unread, which is a reset: 64 KiB, so that some is still to be sent.
pub fn echo_reset(to: &SockAddr, round: u64) -> Step {
    let socket = connect_narrow(to)?;
    send(&socket, &pattern(round, 64 * 1024))?;
    reset(socket)
}

/// Sends more than the server may hold back and reads slowly at first.
pub fn echo_stalled(to: &SockAddr, round: u64) -> Step {
    let socket = connect_narrow(to)?;
    let data = pattern(round, 1024 * 1024);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            send(&socket, &data)?;
            half_close(&socket)
        });
        let (slow, fast) = data.split_at(data.len() / 4);
        let read = expect_slowly(&socket, slow, 16 * 1024, Duration::from_millis(40))
            .and_then(|()| expect(&socket, fast))
            .and_then(|()| expect_end(&socket));
        read.and(
            sending
                .join()
                .unwrap_or_else(|_| Err("the sender panicked".into())),
        )
    })
}

/// Lines of all lengths in one piece, and half a one behind them that is none.
pub fn lines(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    let mut text = Vec::new();
    for number in 0..60_usize {
        let length = (number * number * 4 + round as usize) % 15_000;
        text.extend((0..length).map(|at| b'a' + ((at + number) % 26) as u8));
        text.extend_from_slice(b"\r\n");
    }
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for piece in text.chunks(7_001) {
                send(&socket, piece)?;
            }
            send(&socket, b"half a line")?;
            half_close(&socket)
        });
        let read = expect(&socket, &text).and_then(|()| expect_end(&socket));
        read.and(
            sending
                .join()
                .unwrap_or_else(|_| Err("the sender panicked".into())),
        )
    })
}

/// One line after the other.
pub fn line_by_line(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    let mut answers = reader(&socket);
    for number in 0..20 {
        let said = format!("line {number} of round {round}");
        send(&socket, format!("{said}\r\n").as_bytes())?;
        let heard = line(&mut answers)?;
        ensure(heard == said, || format!("{heard:?} for {said:?}"))?;
    }
    reset(socket)
}

/// A line that is too long costs the connection.
pub fn endless_line(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    // It may be gone before the last of it.
    let _ = send(&socket, &[b'x'; 20_000]);
    expect_any_end(&socket)
}

/// Gives much away and waits for the end of file, which says that all of it was taken.
pub fn fill_sink(to: &SockAddr, bytes: usize) -> Step {
    let socket = connect(to)?;
    let block = [7; 64 * 1024];
    for _ in 0..bytes / block.len() {
        send(&socket, &block)?;
    }
    half_close(&socket)?;
    expect_end(&socket)
}

pub fn reset_sink(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    send(&socket, &[7; 100_000])?;
    reset(socket)
}

/// What a source gives: one block again and again.
pub fn source_block() -> Vec<u8> {
    (0..=250).cycle().take(512 * 1024).collect()
}

fn expect_given(mut from: impl std::io::Read, block: &[u8], bytes: usize) -> Step {
    let mut left = bytes;
    while left > 0 {
        let most = left.min(block.len());
        expect(&mut from, &block[..most]).map_err(at(&format!("{left} of {bytes} to come")))?;
        left -= most;
    }
    Ok(())
}

/// Several amounts, the last one larger than what is pushed at once.
pub fn take_from_source(to: &SockAddr, block: &[u8], amounts: &[usize]) -> Step {
    let socket = connect(to)?;
    for &amount in amounts {
        send(&socket, format!("GIVE {amount}\r\n").as_bytes())?;
        expect_given(&socket, block, amount)?;
    }
    half_close(&socket)?;
    expect_end(&socket)
}

/// Asks for a gigabyte and leaves after a piece of it.
pub fn leave_source(to: &SockAddr, block: &[u8]) -> Step {
    let socket = connect_narrow(to)?;
    send(&socket, b"GIVE 1000000000\r\n")?;
    expect_slowly(
        &socket,
        &block[..300_000],
        50_000,
        Duration::from_millis(20),
    )?;
    reset(socket)
}

/// The program of the porting guide: ten notes, written over and read again.
pub fn notes(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    let mut answers = reader(&socket);
    let mut ask = |said: &str, wanted: &str| {
        send(&socket, format!("{said}\r\n").as_bytes())?;
        let heard = line(&mut answers)?;
        ensure(heard == wanted, || format!("{heard:?} to {said:?}"))
    };
    // The greeting may be read with the first answer.
    let name = round % 10;
    let text = format!("the text of round {round}");
    ask(&format!("set note-{name} {text}"), "220 notes")?;
    ask(&format!("get note-{name}"), "250 ok")?;
    ask("get nothing", &format!("250 {text}"))?;
    ask("what", "404 no such note")?;
    ask("quit", "500 what?")?;
    let last = line(&mut answers)?;
    ensure(last == "221 bye", || format!("{last:?} to quit"))?;
    expect_end(answers)
}
