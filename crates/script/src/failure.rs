//! Errors on their way through Lua: what a function written in Rust raises, where it stands in the script, and how it
//! becomes the plain value that `pcall` gives to a script or the text that a client gets.

use std::fmt;

use mlua::{Error, Lua, Result, Value};

/// The name of the chunk that holds the sandbox's own Lua code. Its frames are invisible in error positions.
pub(crate) const SANDBOX_CHUNK: &str = "=sandbox";

/// What a function written in Rust raises. Lua carries it as an opaque object.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// An error whose value is this string.
    Text(Vec<u8>),
    /// An error whose value came from Lua.
    Value(Value),
    /// The script has to end; nothing may catch this.
    Stop,
}

impl Failure {
    /// An error whose value is `text`, without a position.
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Failure::Text(text.as_ref().to_vec())
    }

    /// An error whose value is `text` after the position of the function that called the running one, as
    /// `luaL_error` builds it.
    pub(crate) fn at_caller(lua: &Lua, text: impl AsRef<[u8]>) -> Self {
        let mut bytes = position(lua, 1).into_bytes();
        bytes.extend_from_slice(text.as_ref());
        Failure::Text(bytes)
    }

    /// The plain value of an error that Lua caught.
    pub(crate) fn from_error(error: &Error) -> Self {
        match error {
            Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => {
                Failure::from_error(cause)
            }
            Error::ExternalError(external) => external
                .downcast_ref::<Failure>()
                .cloned()
                .unwrap_or_else(|| Failure::text(external.to_string())),
            Error::RuntimeError(text) => Failure::text(without_traceback(text)),
            Error::SyntaxError { message, .. } => Failure::text(message),
            Error::MemoryError(_) => Failure::text("not enough memory"),
            Error::StackError => Failure::text("stack overflow"),
            other => Failure::text(other.to_string()),
        }
    }

    /// What was raised, out of the value that Lua caught.
    pub(crate) fn from_value(value: Value) -> Self {
        let failure = match value {
            Value::Error(error) => Failure::from_error(&error),
            value => Failure::Value(value),
        };
        match failure {
            Failure::Value(Value::String(text)) => Failure::Text(text.as_bytes().to_vec()),
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Failure::Value(value) => write!(f, "a {}", type_name(value)),
            Failure::Stop => f.write_str("the script was stopped"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::external(failure)
    }
}

/// An error as a script may see it.
///
/// # Errors
/// When the script has to stop.
pub(crate) fn plain_value(lua: &Lua, error: Value) -> Result<Value> {
    let Value::Error(error) = error else {
        return Ok(error);
    };
    match Failure::from_error(&error) {
        Failure::Text(text) => lua.create_string(text).map(Value::String),
        Failure::Value(value) => Ok(value),
        Failure::Stop => Err(Failure::Stop.into()),
    }
}

/// The name of a value's type, as `type` gives it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) | Value::Error(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// `source:line: ` of the function at `level` (0 is the running one), or nothing where it has no lines.
pub(crate) fn position(lua: &Lua, level: usize) -> String {
    let found = lua.inspect_stack(level, |debug| {
        let line = debug.current_line().filter(|line| *line > 0)?;
        let source = debug.source();
        Some(format!("{}:{line}: ", source.short_src.unwrap_or_default()))
    });
    found.flatten().unwrap_or_default()
}

/// Source and line of a function on the stack, as the texts of scripting errors quote them.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The full source, with its `@` or `=`.
    pub(crate) source: String,
    /// -1 where there are no lines.
    pub(crate) line: i64,
    /// `Lua`, `C`, `main` or `tail`.
    pub(crate) what: &'static str,
}

impl Frame {
    /// The function at `level`, where there is one.
    pub(crate) fn at(lua: &Lua, level: usize) -> Option<Frame> {
        lua.inspect_stack(level, |debug| {
            let line = debug
                .current_line()
                .and_then(|line| i64::try_from(line).ok());
            let source = debug.source();
            Frame {
                source: source.source.unwrap_or_default().into_owned(),
                line: line.unwrap_or(-1),
                what: source.what,
            }
        })
    }

    /// The function that an uncaught error is ascribed to: the one at `level`, or its caller if it is written in C.
    /// The sandbox's own frames, the marks of calls that they took the place of, and the lowest, through which a script is entered, do not count; there may
    /// be no other.
    pub(crate) fn to_blame(lua: &Lua, level: usize) -> Option<Frame> {
        let raiser = Frame::at(lua, level)?;
        let mut level = level + usize::from(raiser.what == "C");
        let mut below_sandbox = false;
        loop {
            let frame = Frame::at(lua, level)?;
            let is_entrance = frame.what == "C" && Frame::at(lua, level + 1).is_none();
            if is_entrance {
                return None;
            }
            let is_sandbox = frame.source == SANDBOX_CHUNK;
            let is_mark = below_sandbox && frame.what == "tail";
            let is_its_callee = below_sandbox && frame.what == "C";
            if !is_sandbox && !is_mark && !is_its_callee {
                return Some(frame);
            }
            below_sandbox = true;
            level += 1;
        }
    }
}

/// mlua appends a traceback to errors that pass through it.
fn without_traceback(text: &str) -> &str {
    text.split_once("\nstack traceback:")
        .map_or(text, |(text, _)| text)
}
