//! Crash reports: what the log holds when the process dies of a fault, of a signal, or of a panic. A report is written by system calls
//! alone: whatever the process was doing, this takes no memory and no lock.
#![expect(unsafe_code, reason = "signal handlers")]

use std::ffi::CString;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use engine::{Crash, Running};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};

use crate::{stack, watchdog};

/// The signals of faults, and what they are called.
const FAULTS: [(Signal, &str); 5] = [
    (Signal::SIGSEGV, "SIGSEGV"),
    (Signal::SIGBUS, "SIGBUS"),
    (Signal::SIGFPE, "SIGFPE"),
    (Signal::SIGILL, "SIGILL"),
    (Signal::SIGABRT, "SIGABRT"),
];

/// What a handler has for a stack: the thread's own may be what ran out.
const STACK_BYTES: usize = 128 * 1024;

/// The log file, a C string that is never freed; null: standard output.
static LOG_FILE: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
/// What the engine runs; never freed.
static RUNNING: AtomicPtr<Running> = AtomicPtr::new(std::ptr::null_mut());
/// Where the program lies in memory: an address less this is one in its file.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// This process is a child: a panic is a failed job.
static OUTLIVES_PANICS: AtomicBool = AtomicBool::new(false);

/// From now on faults, fatal signals and panics of this process are reported. `log_file` is none for standard output.
pub(crate) fn report_from_now_on(log_file: Option<&Path>, running: Arc<Running>) {
    let log_file = log_file.and_then(|path| std::path::absolute(path).ok());
    let log_file = log_file.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
    LOG_FILE.store(
        log_file.map_or(std::ptr::null_mut(), CString::into_raw),
        Ordering::Release,
    );
    RUNNING.store(Arc::into_raw(running).cast_mut(), Ordering::Release);
    BASE.store(program_base().unwrap_or(0), Ordering::Relaxed);
    // The first walk over a stack may load and allocate; it is done here and not in a handler.
    drop(stack::own_frames());
    let stack = Box::leak(vec![0_u8; STACK_BYTES].into_boxed_slice());
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: STACK_BYTES,
    };
    // SAFETY: the memory is never freed, and this thread has no other use for it.
    let set = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    debug_assert_eq!(set, 0, "an alternative stack");
    let report = SigAction::new(
        SigHandler::SigAction(on_fault),
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND,
        SigSet::empty(),
    );
    for (fault, _) in FAULTS {
        // SAFETY: `on_fault` may run at any point of a thread: it takes no lock and no memory.
        let set = unsafe { sigaction(fault, &report) };
        debug_assert!(set.is_ok(), "the signal exists");
    }
    let look = SigAction::new(
        SigHandler::Handler(on_alarm),
        SaFlags::SA_ONSTACK | SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: as above.
    let set = unsafe { sigaction(Signal::SIGALRM, &look) };
    debug_assert!(set.is_ok(), "the signal exists");
    std::panic::set_hook(Box::new(on_panic));
}

/// For a child: a panic is a line in the log and unwinds.
pub(crate) fn outlive_panics() {
    OUTLIVES_PANICS.store(true, Ordering::Relaxed);
}

/// Where this program's file begins in memory.
fn program_base() -> Option<usize> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps
        .lines()
        .find(|line| line.ends_with(&*program.to_string_lossy()))?;
    usize::from_str_radix(line.split_once('-')?.0, 16).ok()
}

/// A report on its way to the log.
struct Report {
    file: libc::c_int,
    buffer: [u8; 512],
    used: usize,
}

impl Report {
    fn begin() -> Self {
        let path = LOG_FILE.load(Ordering::Acquire);
        let file = if path.is_null() {
            libc::STDOUT_FILENO
        } else {
            // SAFETY: the pointer is one to a C string that is never freed.
            unsafe { libc::open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC) }
        };
        Self {
            file,
            buffer: [0; 512],
            used: 0,
        }
    }

    /// What begins a line of a signal handler in the log.
    fn mark(&mut self) {
        // SAFETY: both only ask the kernel, and may be called in a handler.
        let (pid, time) = unsafe { (libc::getpid(), libc::time(std::ptr::null_mut())) };
        self.add(format_args!("{pid}:signal-handler ({time}) "));
    }

    fn head(&mut self) {
        self.add(format_args!(
            "\n\n=== TERN BUG REPORT START: Cut & paste starting from here ===\n"
        ));
        self.mark();
    }

    /// Which command runs.
    fn command(&mut self) {
        // SAFETY: what the pointer points to is never freed.
        let running = unsafe { RUNNING.load(Ordering::Acquire).as_ref() };
        match running.and_then(Running::name) {
            Some(name) => self.add(format_args!("Running command: {name}\n")),
            None => self.add(format_args!("Running command: none\n")),
        }
    }

    /// The stack of this thread.
    fn stack(&mut self) {
        self.add(format_args!("\n------ STACK TRACE ------\n"));
        let base = BASE.load(Ordering::Relaxed);
        self.add(format_args!("the program begins at {base:#x}\n"));
        self.flush();
        let mut left = stack::MOST_FRAMES;
        stack::walk_own(|address| {
            self.add(format_args!(
                "{address:#x} +{:#x}\n",
                address.wrapping_sub(base)
            ));
            self.flush();
            left -= 1;
            left > 0
        });
    }

    /// What the kernel knows of the process.
    fn process(&mut self) {
        self.add(format_args!("\n------ PROCESS ------\n"));
        self.flush();
        // SAFETY: the calls may be made in a handler; the buffer is as long as the kernel is told.
        unsafe {
            let status = libc::open(c"/proc/self/status".as_ptr(), libc::O_RDONLY);
            let mut bytes = [0_u8; 4096];
            let count = libc::read(status, bytes.as_mut_ptr().cast(), bytes.len());
            if let Some(text) = usize::try_from(count)
                .ok()
                .and_then(|count| bytes.get(..count))
            {
                self.write_out(text);
            }
            libc::close(status);
        }
    }

    /// The process goes on.
    fn close(mut self) {
        self.flush();
        if self.file != libc::STDOUT_FILENO {
            // SAFETY: the report opened this file.
            unsafe { libc::close(self.file) };
        }
    }

    fn end(mut self) {
        self.add(format_args!(
            "\n=== TERN BUG REPORT END. Make sure to include from START to END. ===\n"
        ));
        self.flush();
    }

    fn add(&mut self, text: fmt::Arguments<'_>) {
        // It does not fail.
        let _ = self.write_fmt(text);
    }

    fn flush(&mut self) {
        let (buffer, used) = (self.buffer, std::mem::take(&mut self.used));
        self.write_out(&buffer[..used]);
    }

    fn write_out(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // SAFETY: the kernel reads as many bytes as there are.
            let count = unsafe { libc::write(self.file, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(count) {
                Ok(count @ 1..) => bytes = &bytes[count.min(bytes.len())..],
                // There is nobody left to tell.
                _ => return,
            }
        }
    }
}

impl fmt::Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.used == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

fn version(report: &mut Report) {
    report.add(format_args!("Tern {}", env!("CARGO_PKG_VERSION")));
}

/// Somebody wants to know where the process stands. (While the watchdog looks by itself, it has a handler of its own.)
extern "C" fn on_alarm(_: libc::c_int) {
    let errno = Errno::last_raw();
    let mut report = Report::begin();
    report.mark();
    report.add(format_args!("Received SIGALRM\n"));
    report.command();
    report.stack();
    report.close();
    Errno::set_raw(errno);
}

extern "C" fn on_fault(
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let mut report = Report::begin();
    report.head();
    version(&mut report);
    let name = FAULTS.iter().find(|(fault, _)| *fault as i32 == number);
    let name = name.map_or("?", |(_, name)| name);
    // SAFETY: the kernel hands a handler of this kind what it knows of the signal.
    let (code, address, pid, uid) = unsafe {
        let info = &*info;
        (
            info.si_code,
            info.si_addr().addr(),
            info.si_pid(),
            info.si_uid(),
        )
    };
    report.add(format_args!(
        " crashed by signal: {number} ({name}), si_code: {code}\n"
    ));
    // A code of zero or below is a signal that somebody sent.
    if code <= 0 {
        report.add(format_args!("Killed by PID: {pid}, UID: {uid}\n"));
    } else {
        report.add(format_args!("Accessing address: {address:#x}\n"));
    }
    if let Some(at) = instruction(context) {
        report.add(format_args!(
            "Crashed running the instruction at: {at:#x}\n"
        ));
    }
    report.command();
    report.flush();
    report.stack();
    report.process();
    report.end();
    // SAFETY: `raise` may be called in a handler. The signal is held back until the handler returns; then it ends the process, since the
    // handler was for one signal only.
    unsafe {
        libc::raise(number);
    }
}

/// Where the thread was when the signal came.
fn instruction(context: *mut libc::c_void) -> Option<u64> {
    // SAFETY: the kernel hands a handler of this kind the thread's registers.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
    #[cfg(target_arch = "x86_64")]
    {
        let register = usize::try_from(libc::REG_RIP).ok()?;
        let at = context.uc_mcontext.gregs.get(register)?;
        Some(at.cast_unsigned())
    }
    #[cfg(target_arch = "aarch64")]
    {
        Some(context.uc_mcontext.pc)
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = context;
        None
    }
}

fn on_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    let mut report = Report::begin();
    let child = OUTLIVES_PANICS.load(Ordering::Relaxed);
    if child {
        report.mark();
    } else {
        report.head();
        version(&mut report);
        report.add(format_args!(" "));
    }
    match panic.location() {
        Some(place) => report.add(format_args!("panicked at {place}: {message}\n")),
        None => report.add(format_args!("panicked: {message}\n")),
    }
    if child {
        report.flush();
        return;
    }
    report.command();
    report.flush();
    report.stack();
    report.process();
    // What is needed is written; names take memory.
    let names = watchdog::describe(&stack::own_frames(), None);
    let (_, names) = names.split_once('\n').unwrap_or_default();
    report.add(format_args!("\n------ NAMES ------\n"));
    report.flush();
    report.write_out(names.as_bytes());
    report.end();
    reset(Signal::SIGABRT);
    std::process::abort();
}

/// The signal ends the process from now on.
fn reset(of: Signal) {
    // SAFETY: nothing is run when the signal comes.
    let set = unsafe { signal(of, SigHandler::SigDfl) };
    debug_assert!(set.is_ok(), "the signal exists");
}

/// DEBUG SEGFAULT, ASSERT and PANIC.
pub(crate) fn crash(how: Crash) {
    match how {
        Crash::Fault => {
            // SAFETY: the page is a new one, and nobody may write to it: the kernel stops the attempt.
            unsafe {
                let page = libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                page.cast::<u8>().write_volatile(b'x');
            }
        }
        Crash::Abort => std::process::abort(),
        Crash::Panic => panic!("DEBUG PANIC asked for it"),
    }
}
