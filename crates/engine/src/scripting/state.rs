//! What there is of scripts and functions, and of the one that runs. They are run in `scripting.rs`.

use commands::Error;
use resp::Reply;
use script::{Functions, Interpreter, Targets, texts};

use crate::ClientId;

/// Scripts and functions of one server.
#[derive(Debug, Default)]
pub(crate) struct Scripting {
    /// Made for the first script; away while one runs.
    pub(crate) interpreter: Option<Box<Interpreter>>,
    /// Made for the first library; away while a function runs.
    pub(crate) functions: Option<Box<Functions>>,
    /// What both held when they were put back last.
    pub(crate) counts: Counts,
    /// Runs the commands of scripts; made for the first script.
    pub(crate) client: Option<ClientId>,
    pub(crate) running: Option<Running>,
    /// The one slot of which the script that ended last has used keys.
    pub(crate) used_slot: Option<u16>,
    /// Empty: kept for the room that it has. Away while a script runs.
    pub(crate) reply: Option<Reply>,
    /// For tests: commands that scripts may not call are called.
    pub(crate) calls_anything: bool,
}

/// What INFO tells about scripts and functions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of the Lua state of scripts.
    pub(crate) scripts_vm: usize,
    /// Bytes of the Lua state of functions.
    pub(crate) functions_vm: usize,
    /// Bytes of cached scripts beside it.
    pub(crate) scripts_cache: usize,
    /// Bytes of libraries beside it.
    pub(crate) functions_cache: usize,
    pub(crate) scripts: usize,
    pub(crate) libraries: usize,
    pub(crate) functions: usize,
}

/// The script that runs.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Running {
    pub(crate) caller: ClientId,
    /// On [`crate::Host::mono_us`]'s clock.
    pub(crate) start_us: u64,
    /// None where it may take as long as it needs.
    pub(crate) limit_us: Option<u64>,
    /// When others were served last.
    pub(crate) served_us: u64,
    /// It is a function.
    pub(crate) is_function: bool,
    /// It may not write.
    pub(crate) read_only: bool,
    /// It may run beyond `maxmemory`.
    pub(crate) allow_oom: bool,
    /// Memory was over the limit when it began.
    pub(crate) over_limit: bool,
    /// The one slot whose keys it may use, once it has used any; none where it may use all.
    pub(crate) slot: Option<Option<u16>>,
    /// Its master or a file has it run: nobody may stop it.
    pub(crate) obeyed: bool,
    /// It is over the limit of time.
    pub(crate) slow: bool,
    /// SCRIPT KILL or FUNCTION KILL was said.
    pub(crate) killed: bool,
    /// It called a command that writes.
    pub(crate) wrote: bool,
    /// Where its commands' changes are told.
    pub(crate) targets: Targets,
    /// The name of the function and the words of its call, once it is slow.
    pub(crate) shown: Option<Shown>,
}

/// The name of a function, and the words of its call.
pub(crate) type Shown = (Box<[u8]>, Vec<Box<[u8]>>);

impl Running {
    pub(crate) fn busy(&self) -> Error {
        Error::text(if self.is_function {
            texts::BUSY_FUNCTION
        } else {
            texts::BUSY
        })
    }
}
