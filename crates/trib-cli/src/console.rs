//! What the user sees and answers: lines with marks, prompts, waits and progress.
//!
//! Colour and moving progress are for terminals only; what a script reads is plain lines. Prompts read lines from
//! the input whatever it is, so `echo yes | trib create …` works.

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep};

use crate::Error;

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(100);
/// How often a wait that is no terminal's shows that it lives.
const DOT: Duration = Duration::from_secs(1);

/// Where lines go and answers come from.
pub struct Console {
    out: Box<dyn Write + Send>,
    /// Taken while a blocking read runs on another thread.
    input: Option<Box<dyn BufRead + Send>>,
    color: bool,
    live: bool,
    verbose: bool,
}

/// What a probe found out about the thing that is waited for.
#[derive(Debug)]
pub enum Probe {
    /// It is there.
    Done,
    /// Not yet, and why.
    Pending(String),
}

impl Console {
    /// The process's own input and output. Colour where a terminal shows it and `NO_COLOR` is not set.
    #[must_use]
    pub fn of_process() -> Self {
        let live = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            out: Box::new(io::stdout()),
            input: Some(Box::new(io::BufReader::new(io::stdin()))),
            color: live && !dumb && !set("NO_COLOR"),
            live: live && !dumb && io::stderr().is_terminal(),
            verbose: false,
        }
    }

    /// Other ends, for tests.
    #[must_use]
    pub fn new(input: Box<dyn BufRead + Send>, out: Box<dyn Write + Send>, color: bool) -> Self {
        Self {
            out,
            input: Some(input),
            color,
            live: false,
            verbose: false,
        }
    }

    /// Shows more.
    pub fn set_verbose(&mut self, verbose: bool) {
        self.verbose = verbose;
    }

    /// Whether to show more.
    #[must_use]
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a person looks on: progress is then drawn, and lines per slot are not.
    #[must_use]
    pub fn live(&self) -> bool {
        self.live
    }

    /// Prints a line, coloured by its mark: `>>>`, `[OK]`, `[ERR]`, `[WARNING]`, `***`.
    pub fn line(&mut self, text: &str) {
        let color = if self.color { color_of(text) } else { None };
        match color {
            Some(color) => self.print(&format!("\x1b[{color}m{text}\x1b[0m\n")),
            None => self.print(&format!("{text}\n")),
        }
    }

    /// Prints text as it is. A reader that went away (`trib … | head`) must not stop what is being done.
    pub fn print(&mut self, text: &str) {
        let _ = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
    }

    /// Asks and reads a line, without its end.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`] when the input has ended.
    pub async fn ask(&mut self, question: &str) -> Result<String, Error> {
        self.print(question);
        let Some(mut input) = self.input.take() else {
            return Err(Error::NoAnswer);
        };
        // On a thread of its own, so that an interrupt is still noticed.
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let read = input.read_line(&mut line);
            (input, line, read)
        });
        let (input, line, read) = reading.await.map_err(|_| Error::NoAnswer)?;
        self.input = Some(input);
        match read {
            Ok(bytes) if bytes > 0 => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
            _ => {
                self.print("\n");
                Err(Error::NoAnswer)
            }
        }
    }

    /// Asks for something that no screen shall show.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`] when the input has ended.
    pub async fn ask_secret(&mut self, question: &str) -> Result<String, Error> {
        let hidden = HiddenInput::begin();
        let answer = self.ask(question).await;
        if hidden.is_some() {
            self.print("\n");
        }
        answer
    }

    /// Goes on only if the user types `yes`.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] for anything else, [`Error::NoAnswer`] when there is no input.
    pub async fn confirm(&mut self, question: &str) -> Result<(), Error> {
        let answer = self
            .ask(&format!("{question} (type 'yes' to accept): "))
            .await?;
        if answer.eq_ignore_ascii_case("yes") {
            Ok(())
        } else {
            Err(Error::Aborted)
        }
    }

    /// A bar over `total` things with a message behind it, drawn only for a person.
    #[must_use]
    pub fn progress(&self, total: u64) -> ProgressBar {
        if !self.live {
            return ProgressBar::hidden();
        }
        let template = "[{bar:20}] {wide_msg}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
            .with_style(style.progress_chars("#> "))
    }

    /// Looks again and again until `probe` is done, at most for `limit`, and shows what is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] with what was missing at the end; whatever the probe fails with.
    pub async fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl AsyncFnMut() -> Result<Probe, Error>,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let spinner = self.live.then(spinner);
        let (mut shown, mut dots) = (false, start);
        loop {
            let found = match probe().await {
                Err(Error::Loading(node)) => {
                    Ok(Probe::Pending(format!("{node} is loading its dataset")))
                }
                other => other,
            };
            let pending = match found {
                Ok(Probe::Pending(why)) if start.elapsed() < limit => why,
                other => {
                    if let Some(spinner) = spinner {
                        spinner.finish_and_clear();
                    }
                    if shown {
                        self.print("\n");
                    }
                    return match other? {
                        Probe::Done => Ok(()),
                        Probe::Pending(why) => Err(Error::TimedOut {
                            what: what.to_owned(),
                            limit,
                            missing: why,
                        }),
                    };
                }
            };
            if let Some(spinner) = &spinner {
                spinner.set_message(format!("{what}: {pending}"));
                spinner.tick();
            } else if !shown {
                self.print(what);
                shown = true;
            } else if dots.elapsed() >= DOT {
                self.print(".");
                dots = Instant::now();
            }
            sleep(POLL).await;
        }
    }
}

/// How the terminal was before it stopped showing what is typed.
static SHOWN: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, the terminal does not show what is typed.
struct HiddenInput;

impl HiddenInput {
    /// Nothing where the input is no terminal.
    fn begin() -> Option<Self> {
        let shown = tcgetattr(io::stdin()).ok()?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self)
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Makes the terminal show again what is typed, if it was told not to: for an end in the middle of a question.
pub fn restore_terminal() {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(shown) = shown {
        // Nothing more can be done where even this fails.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &shown);
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("color", &self.color)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

/// One line, cut where the terminal ends.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// The parameters of the escape sequence for a marked line.
fn color_of(text: &str) -> Option<&'static str> {
    match text.get(..3)? {
        ">>>" => Some("29;1"),
        "[ER" | "[WA" => Some("31;1"),
        "[OK" => Some("32"),
        "[FA" | "***" => Some("33"),
        _ => None,
    }
}
