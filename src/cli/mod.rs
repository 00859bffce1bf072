//! The command line: what can be typed, and which part of the server does it.
//!
//! Exit codes: 0 done, 1 the answer is no, 2 usage. Data goes to stdout, the rest to stderr.
//! Colours are for terminals, and for nobody who has set `NO_COLOR`.

mod check;
mod client;
mod demo;
mod events;
mod explain;
mod foreseen;
mod latency;
mod manual;
mod overrides;
mod query;
mod reply_text;
mod schema;
mod status;
mod token;
mod watch;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// Authoritative DNS that steers each client to the right healthy region.
#[derive(Debug, Parser)]
#[command(version, about, after_help = manual::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer questions, probe endpoints, and follow the files until stopped.
    Serve {
        /// The server file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Take the place of the server that runs: its sockets, and all that it knows. It ends when this
        /// one answers, and no question is lost. Without one, start as ever.
        #[arg(long)]
        takeover: bool,
    },
    /// Say everything that `serve` would complain of.
    Check {
        /// The server file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// One JSON array instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Ask a server one question and print the reply as dig does.
    Query(query::Query),
    /// Say what a client gets, and why, stage by stage.
    Explain(explain::Explain),
    /// Say how a running server is.
    Status(status::Asked),
    /// Say what happened on a running server.
    Events(events::Asked),
    /// Have a running server read its files.
    Reload {
        #[command(flatten)]
        server: client::Server,
        /// What the API gives, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Say what endpoints are, whatever their checks say.
    #[command(subcommand)]
    Override(overrides::Override),
    /// Say how much of its normal traffic a region gets.
    Dial(overrides::Dial),
    /// Tell a server what round trips were measured.
    #[command(subcommand)]
    Latency(latency::Latency),
    /// Make tokens for callers of the API.
    #[command(subcommand)]
    Token(token::Token),
    /// Run three regions, a server and a client on this machine, and fail and restore regions.
    Demo,
    /// Print the JSON Schema of a file, by which editors complete and complain.
    Schema {
        /// Which file.
        file: schema::File,
    },
    /// Print what a shell needs to complete commands and options.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
    Man {
        /// A folder for the pages of all commands; it is made if it is absent.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve { config, takeover } => crate::app::serve(&config, takeover),
        Command::Check { config, json } => check::run(&config, json),
        Command::Query(query) => query::run(&query),
        Command::Explain(explain) => explain::run(&explain),
        Command::Status(asked) => status::status(&asked),
        Command::Events(asked) => events::run(&asked),
        Command::Reload { server, json } => status::reload(&server, json),
        Command::Override(command) => overrides::run(&command),
        Command::Dial(dial) => overrides::dial(&dial),
        Command::Latency(latency) => latency::run(&latency),
        Command::Token(token::Token::New(new)) => token::new(&new),
        Command::Demo => demo::run(),
        Command::Schema { file } => schema::run(file),
        Command::Completions { shell } => manual::completions(shell, Arguments::command()),
        Command::Man { dir } => manual::man(dir.as_deref(), Arguments::command()),
    }
}

/// Prints what was asked for.
fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the beginning (`head`) has had what they wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
