//! The command line: words become a verb, mistakes one clear line.
//!
//! Options may stand before or behind the addresses. The usage text is made from the same definitions that parse.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

use crate::local::{self, LocalArgs};
use crate::progress::Pace;
use crate::verbs::{self, Balance, ImportOptions, RebalanceArgs, ReshardArgs, WatchOptions};
use crate::{App, Error};

/// The shortest time between two looks of `watch`.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);
/// Where the password may stand, as for other tools.
const PASSWORD_VARIABLE: &str = "REDISCLI_AUTH";

/// Creates, checks, repairs and changes clusters.
#[derive(Debug, Parser)]
#[command(name = "trib", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Show more of what is done
    #[arg(long, global = true)]
    verbose: bool,
    /// Password of the nodes
    #[arg(short = 'a', long, alias = "pass", global = true, value_name = "arg")]
    password: Option<String>,
    /// ACL user of the nodes
    #[arg(long, global = true, value_name = "arg")]
    user: Option<String>,
    /// Ask for the password, so that no list of processes shows it
    #[arg(long, global = true)]
    askpass: bool,
    #[command(flatten)]
    tls: Tls,
    #[command(subcommand)]
    verb: Verb,
}

/// How to speak TLS to the nodes.
#[derive(Debug, clap::Args)]
struct Tls {
    /// Speak TLS to the nodes
    #[arg(long, global = true)]
    tls: bool,
    /// File of the certificates to trust; otherwise those that this machine trusts
    #[arg(long, global = true, value_name = "file")]
    cacert: Option<PathBuf>,
    /// Folder of the certificates to trust
    #[arg(long, global = true, value_name = "folder")]
    cacertdir: Option<PathBuf>,
    /// File of the certificate to show
    #[arg(long, global = true, value_name = "file")]
    cert: Option<PathBuf>,
    /// File of its key
    #[arg(long, global = true, value_name = "file")]
    key: Option<PathBuf>,
    /// Trust everybody
    #[arg(long, global = true)]
    insecure: bool,
    /// The name of the server to ask for
    #[arg(long, global = true, value_name = "host")]
    sni: Option<String>,
}

impl Tls {
    fn side(self) -> Result<Option<tls::ClientSide>, Error> {
        if !self.tls {
            return Ok(None);
        }
        let client = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some(tls::Identity {
                cert,
                key,
                pass: None,
            }),
            (None, None) => None,
            _ => {
                return Err(Error::Refused(
                    "[ERR] --cert and --key belong together.".to_owned(),
                ));
            }
        };
        let settings = tls::Settings {
            client,
            ca_file: self.cacert,
            ca_dir: self.cacertdir,
            ..tls::Settings::default()
        };
        tls::ClientSide::new(&settings, self.insecure, self.sni.as_deref())
            .map(Some)
            .map_err(|error| Error::Refused(format!("[ERR] {error}")))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a cluster of empty nodes
    Create {
        /// Replicas of each master
        #[arg(
            long,
            default_value_t = 0,
            value_name = "arg",
            allow_negative_numbers = true
        )]
        replicas: usize,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[arg(required = true, value_name = "host1:port1 ... hostN:portN")]
        addresses: Vec<String>,
    },
    /// Check a cluster
    Check {
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Say what is wrong with a cluster or with servers, and what to do about it
    Doctor {
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Look at the living cluster, or at servers without one
    Watch {
        /// Seconds between two looks
        #[arg(long, default_value_t = 1.0, value_name = "arg")]
        interval: f64,
        /// How many looks
        #[arg(long, value_name = "arg")]
        count: Option<u32>,
        /// Lines of text, even on a terminal
        #[arg(long)]
        text: bool,
        /// host:port of a sentinel to ask too; may be given several times
        #[arg(long, value_name = "arg")]
        sentinel: Vec<String>,
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Show keys, slots and replicas of each master
    Info {
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Repair open and uncovered slots
    Fix {
        #[command(flatten)]
        migrate: Timeout,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Give slots of nodes that can't be reached to others; what only those nodes hold is lost
        #[arg(long)]
        give_up_unreachable: bool,
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Move slots to one node
    Reshard {
        /// Source ids, separated by commas, or 'all'
        #[arg(long, value_name = "arg")]
        from: Option<String>,
        /// Target id
        #[arg(long, value_name = "arg")]
        to: Option<String>,
        /// How many slots
        #[arg(long, value_name = "arg", allow_negative_numbers = true)]
        slots: Option<u16>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        migrate: Timeout,
        #[command(flatten)]
        batch: Batch,
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Give each master its part of the slots
    Rebalance {
        /// id=weight; may be given several times
        #[arg(long, value_name = "arg")]
        weight: Vec<String>,
        /// Accepted, without effect, as ever
        #[arg(long)]
        auto_weights: bool,
        /// Give slots to masters that have none
        #[arg(long)]
        use_empty_masters: bool,
        #[command(flatten)]
        migrate: Timeout,
        /// Show what would move
        #[arg(long)]
        simulate: bool,
        #[command(flatten)]
        batch: Batch,
        /// What masters shall have alike
        #[arg(long, value_enum, default_value = "slots", value_name = "arg")]
        by: Balance,
        /// Keep it so: look again every so many seconds, until interrupted
        #[arg(long, value_name = "arg", value_parser = clap::value_parser!(u32).range(1..))]
        watch: Option<u32>,
        /// Percent of deviation that is left alone
        #[arg(
            long,
            default_value_t = 2.0,
            value_name = "arg",
            allow_negative_numbers = true
        )]
        threshold: f64,
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Bring an empty node into a cluster
    AddNode {
        /// As a replica
        #[arg(long)]
        slave: bool,
        /// As a replica of this master
        #[arg(long, value_name = "arg")]
        master_id: Option<String>,
        #[arg(value_name = "new_host:new_port")]
        new: String,
        #[arg(value_name = "existing_host:existing_port")]
        entry: String,
    },
    /// Remove a node without slots, or one that has failed, and shut it down
    DelNode {
        /// Move its slots to the other masters first
        #[arg(long)]
        drain: bool,
        #[command(flatten)]
        pace: PaceArgs,
        #[arg(value_name = "host:port")]
        entry: String,
        #[arg(value_name = "node_id")]
        id: String,
    },
    /// Set cluster-node-timeout on all nodes
    SetTimeout {
        #[arg(value_name = "host:port")]
        entry: String,
        #[arg(value_name = "milliseconds", allow_negative_numbers = true)]
        millis: i64,
    },
    /// Run a command on all nodes
    Call {
        #[arg(value_name = "host:port")]
        entry: String,
        #[arg(
            value_name = "command arg arg .. arg",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        command: Vec<String>,
    },
    /// Take over the keys of a server outside
    Import {
        /// host:port of the source
        #[arg(long, required = true, value_name = "arg")]
        from: String,
        /// Password of the source
        #[arg(long, value_name = "arg")]
        from_pass: Option<String>,
        /// ACL user of the source
        #[arg(long, value_name = "arg")]
        from_user: Option<String>,
        /// Ask for the source's password
        #[arg(long)]
        from_askpass: bool,
        /// Leave the keys at the source
        #[arg(long)]
        copy: bool,
        /// Replace keys that exist
        #[arg(long)]
        replace: bool,
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Make the cluster what a YAML file describes
    Apply {
        /// Show what would be done
        #[arg(long)]
        plan: bool,
        #[command(flatten)]
        pace: PaceArgs,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[arg(value_name = "FILE.yaml")]
        file: PathBuf,
    },
    /// Have a replica take over from a master that is about to stop
    HandOver {
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Take a backup of a server or a cluster
    Backup {
        /// The folder that the backup is written to; it may not exist
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// A server, or any node of a cluster
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Bring the keys of a backup into a server or a cluster
    Restore {
        /// Replace keys that exist
        #[arg(long)]
        replace: bool,
        /// The folder of the backup
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// A server, or any node of a cluster
        #[arg(value_name = "host:port")]
        entry: String,
    },
    /// Run a cluster on this machine
    Local {
        #[command(subcommand)]
        verb: LocalVerb,
    },
    /// (show this help)
    Help,
}

#[derive(Args, Debug)]
struct Timeout {
    /// Milliseconds that one MIGRATE may wait for the other node
    #[arg(long, value_name = "arg")]
    timeout: Option<u32>,
}

#[derive(Args, Debug)]
struct Batch {
    /// Keys of one MIGRATE; found by measuring where not given
    #[arg(long, value_name = "arg", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pipeline: Option<u32>,
    #[command(flatten)]
    pace: PaceArgs,
}

/// How fast slots may move.
#[derive(Args, Debug)]
struct PaceArgs {
    /// Most keys a second
    #[arg(long, value_name = "arg", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Pause, with no slot open, while this file exists
    #[arg(long, value_name = "arg")]
    pause_file: Option<PathBuf>,
}

impl PaceArgs {
    fn set(self, app: &mut App) {
        app.pace = Arc::new(Pace::new(self.rate, self.pause_file));
    }
}

#[derive(Clone, Debug, Subcommand)]
enum LocalVerb {
    /// Start the nodes and create the cluster
    Up(LocalArgs),
    /// Stop the nodes, keep their data
    Down(LocalDir),
    /// Show what runs
    Status(LocalDir),
}

#[derive(Args, Clone, Debug)]
struct LocalDir {
    /// Where the nodes keep their data
    #[arg(long, default_value = local::DEFAULT_DIR, value_name = "arg")]
    dir: PathBuf,
}

impl LocalVerb {
    async fn run(self, app: &mut App) -> Result<(), Error> {
        match self {
            Self::Up(args) => local::up(app, &args).await,
            Self::Down(LocalDir { dir }) => local::down(app, &dir).await,
            Self::Status(LocalDir { dir }) => local::status(app, &dir).await,
        }
    }
}

impl Timeout {
    fn set(&self, app: &mut App) {
        if let Some(millis) = self.timeout.filter(|millis| *millis > 0) {
            app.migrate_timeout = Duration::from_millis(millis.into());
        }
    }
}

impl Batch {
    fn set(self, app: &mut App) {
        app.pipeline = self.pipeline.and_then(|keys| usize::try_from(keys).ok());
        self.pace.set(app);
    }
}

/// What to print instead of doing something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// One line, or a help text.
    pub text: String,
    /// The exit status.
    pub status: i32,
}

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

impl Cli {
    /// Reads the words behind the program's name. The verb may be in capitals.
    ///
    /// # Errors
    ///
    /// What to print instead, and the exit status: 0 for help, 1 for mistakes.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Instead> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        if words.is_empty() {
            return Err(Instead {
                text: usage(),
                status: 1,
            });
        }
        words[0].make_ascii_lowercase();
        let verb = words[0].to_string_lossy().into_owned();
        let words = std::iter::once(OsString::from("trib")).chain(words);
        let matches = Self::command()
            .try_get_matches_from(words)
            .map_err(|error| instead(&error, &verb))?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| instead(&error, &verb))?;
        if matches!(cli.verb, Verb::Help) {
            return Err(Instead {
                text: usage(),
                status: 0,
            });
        }
        Ok(cli)
    }

    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// The line to print before ending with status 1.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm for each verb reads best as one list"
    )]
    pub async fn run(self, app: &mut App) -> Result<(), Error> {
        app.console.set_verbose(self.verbose);
        app.settings.user = self.user;
        app.settings.tls = self.tls.side()?;
        app.settings.password = match self.password {
            None if self.askpass => Some(app.console.ask_secret("Password of the nodes: ").await?),
            None => std::env::var(PASSWORD_VARIABLE).ok(),
            given => given,
        };
        match self.verb {
            Verb::Create {
                replicas,
                yes,
                addresses,
            } => {
                app.assume_yes = yes;
                verbs::create(app, &addresses, replicas).await
            }
            Verb::Check { entry } => verbs::check(app, &entry).await,
            Verb::Doctor { entry } => verbs::doctor(app, &entry).await,
            Verb::Watch {
                interval,
                count,
                text,
                sentinel,
                entry,
            } => {
                let interval = Duration::try_from_secs_f64(interval);
                let options = WatchOptions {
                    interval: interval.unwrap_or(SHORTEST_LOOK).max(SHORTEST_LOOK),
                    count,
                    text,
                    sentinels: sentinel,
                };
                verbs::watch(app, &entry, &options).await
            }
            Verb::Info { entry } => verbs::info(app, &entry).await,
            Verb::Fix {
                migrate,
                yes,
                give_up_unreachable,
                entry,
            } => {
                app.assume_yes = yes;
                migrate.set(app);
                verbs::fix(app, &entry, give_up_unreachable).await
            }
            Verb::Reshard {
                from,
                to,
                slots,
                yes,
                migrate,
                batch,
                entry,
            } => {
                app.assume_yes = yes;
                migrate.set(app);
                batch.set(app);
                verbs::reshard(app, &entry, &ReshardArgs { from, to, slots }).await
            }
            Verb::Rebalance {
                weight,
                auto_weights: _,
                use_empty_masters,
                migrate,
                simulate,
                batch,
                by,
                watch,
                threshold,
                entry,
            } => {
                migrate.set(app);
                batch.set(app);
                let args = RebalanceArgs {
                    weights: weight,
                    threshold,
                    use_empty_masters,
                    simulate,
                    by,
                    watch: watch.map(|seconds| Duration::from_secs(seconds.into())),
                };
                verbs::rebalance(app, &entry, &args).await
            }
            Verb::AddNode {
                slave,
                master_id,
                new,
                entry,
            } => verbs::add_node(app, &new, &entry, slave, master_id.as_deref()).await,
            Verb::DelNode {
                drain,
                pace,
                entry,
                id,
            } => {
                pace.set(app);
                verbs::del_node(app, &entry, &id, drain).await
            }
            Verb::SetTimeout { entry, millis } => verbs::set_timeout(app, &entry, millis).await,
            Verb::Call { entry, command } => verbs::call(app, &entry, &command).await,
            Verb::Import {
                from,
                from_pass,
                from_user,
                from_askpass,
                copy,
                replace,
                entry,
            } => {
                let from_password = match from_pass {
                    None if from_askpass => {
                        Some(app.console.ask_secret("Password of the source: ").await?)
                    }
                    given => given,
                };
                let options = ImportOptions {
                    from,
                    copy,
                    replace,
                    from_user,
                    from_password,
                };
                verbs::import(app, &entry, &options).await
            }
            Verb::Apply {
                plan,
                pace,
                yes,
                file,
            } => {
                app.assume_yes = yes;
                pace.set(app);
                verbs::apply(app, &file, plan).await
            }
            Verb::HandOver { entry } => verbs::hand_over(app, &entry).await,
            Verb::Backup { dir, entry } => verbs::backup(app, &dir, &entry).await,
            Verb::Restore {
                replace,
                dir,
                entry,
            } => verbs::restore(app, &dir, &entry, replace).await,
            Verb::Local { verb } => verb.run(app).await,
            Verb::Help => Ok(()),
        }
    }
}

/// The parser's complaint in this tool's words.
fn instead(error: &clap::Error, verb: &str) -> Instead {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let option = argument
        .split([' ', '='])
        .next()
        .unwrap_or_default()
        .to_owned();
    let is_option = option.starts_with('-');
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    let text = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return Instead {
                text: error.to_string().trim_end().to_owned(),
                status: 0,
            };
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("Unknown trib subcommand '{name}'")
        }
        ErrorKind::UnknownArgument if is_option => {
            format!(
                "Unknown option '{}' for command '{verb}'",
                option.trim_start_matches('-')
            )
        }
        ErrorKind::MissingRequiredArgument if is_option => {
            format!("Option '{option}' is required for subcommand '{verb}'")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if is_option && value.is_empty() => {
            format!("[ERR] Option '{option}' needs a value")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let what = if is_option {
                format!("option '{option}'")
            } else {
                option
            };
            format!("[ERR] Invalid value '{value}' for {what}")
        }
        ErrorKind::ArgumentConflict if is_option => {
            format!("[ERR] Option '{option}' is given twice")
        }
        ErrorKind::InvalidUtf8 => "[ERR] An argument is not UTF-8".into(),
        _ => wrong_number(verb),
    };
    Instead { text, status: 1 }
}

/// Names the verb, and what it wants.
fn wrong_number(verb: &str) -> String {
    let command = Cli::command();
    let arguments = command
        .find_subcommand(verb)
        .map(positionals)
        .unwrap_or_default();
    format!(
        "[ERR] Wrong number of arguments for subcommand '{verb}'\n    Usage: trib {verb} <options> {arguments}"
    )
}

/// What a verb wants behind its name.
fn positionals(verb: &clap::Command) -> String {
    let names = verb
        .get_positionals()
        .flat_map(|arg| arg.get_value_names().unwrap_or_default());
    let names = names
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    let nested = verb
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect::<Vec<_>>()
        .join("|");
    names + &nested
}

/// All verbs with their arguments and options.
#[must_use]
pub fn usage() -> String {
    let mut text = String::from("Usage: trib <command> <options> <arguments ...>\n\n");
    for verb in Cli::command().get_subcommands() {
        let mut arguments = positionals(verb);
        if arguments.is_empty() {
            arguments = verb
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
        }
        let _ = writeln!(text, "  {:<15} {arguments}", verb.get_name());
        let inner = verb
            .get_subcommands()
            .next()
            .into_iter()
            .flat_map(clap::Command::get_arguments);
        for option in verb
            .get_arguments()
            .chain(inner)
            .filter(|arg| !arg.is_positional())
        {
            let value = if option.get_action().takes_values() {
                " <arg>"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "                  --{}{value}",
                option.get_long().unwrap_or_default()
            );
        }
    }
    text += "\nFor check, fix, reshard, del-node, set-timeout you can specify the host and port of any working node \
             in the cluster.\nFor all commands: --verbose; where nodes want a login, --user <arg>, and --password <arg> (-a), \
             --askpass or the variable REDISCLI_AUTH; where they speak TLS, --tls with --cacert <file>, --cert <file>, --key <file>, \
             --sni <host> or --insecure.";
    text
}
