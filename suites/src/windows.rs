//! What Unix does with `kill` and `ps`: Ctrl-C for one program alone, and its memory.
#![allow(unsafe_code, reason = "calls of the system, in tests alone")]

use std::{
    env, io,
    os::windows::{io::AsRawHandle, process::CommandExt},
    process::{Child, Command},
};

use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::{
    Console::{
        AttachConsole, CTRL_BREAK_EVENT, CTRL_C_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
        SetConsoleCtrlHandler,
    },
    ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
    Threading::{CREATE_NO_WINDOW, OpenProcess, PROCESS_TERMINATE, TerminateProcess},
};

/// What a console sends to its processes.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    CtrlC,
    CtrlBreak,
}

/// A console of its own, without a window: events go to all processes of a console, and to a process group only Ctrl-Break.
pub(crate) fn give_console(command: &mut Command) {
    command.creation_flags(CREATE_NO_WINDOW);
}

/// Sends an event to the program's console. A process has one console, so another one goes there: the program
/// `console_event` of this package.
///
/// # Errors
/// The system sends no such event.
pub fn interrupt(pid: u32, event: Event) -> io::Result<()> {
    let test = env::current_exe()?;
    // PROFILE/deps/TEST
    let folder = test.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    let sent = Command::new(folder.join("console_event.exe"))
        .args([pid.to_string(), format!("{event:?}")])
        .output()?;
    match sent.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&sent.stderr))),
    }
}

/// Leaves this process's console for the other one's, and sends the event to all who are there.
///
/// # Errors
/// What the system says.
pub fn send_event(pid: u32, event: Event) -> io::Result<()> {
    let event = match event {
        Event::CtrlC => CTRL_C_EVENT,
        Event::CtrlBreak => CTRL_BREAK_EVENT,
    };
    let checked = |done: i32| match done {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: plain calls without pointers.
    unsafe {
        // There may be none.
        FreeConsole();
        checked(AttachConsole(pid))?;
        // Without a handler: this process ignores the event that it sends.
        checked(SetConsoleCtrlHandler(None, 1))?;
        checked(GenerateConsoleCtrlEvent(event, 0))
    }
}

/// Ends a process as `kill -KILL` does, and gives whether it was there.
pub(crate) fn terminate(pid: u32) -> bool {
    // SAFETY: plain calls, and the handle is closed once.
    unsafe {
        let process = OpenProcess(PROCESS_TERMINATE, 0, pid);
        let done = !process.is_null() && TerminateProcess(process, 137) != 0;
        CloseHandle(process);
        done
    }
}

/// In KiB.
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) most: u64,
}

pub(crate) fn memory(child: &Child) -> Memory {
    let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    let mut counters = PROCESS_MEMORY_COUNTERS {
        cb: size,
        ..Default::default()
    };
    // SAFETY: the handle is open as long as the child is borrowed, and the size is that of the structure.
    let done = unsafe { K32GetProcessMemoryInfo(child.as_raw_handle(), &raw mut counters, size) };
    assert!(done != 0, "{}", io::Error::last_os_error());
    Memory {
        now: counters.WorkingSetSize as u64 / 1024,
        most: counters.PeakWorkingSetSize as u64 / 1024,
    }
}
