//! `evenkeel completions` and `evenkeel man`: what can be typed, told to shells and to `man`.
//!
//! Both are made from the definitions that read the command line, so that they cannot differ from it.
//!
//! Not here: what the commands do (each of them), and the manual of the files (`docs`).

use std::{fs, io, path::Path, process::ExitCode};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::print;

/// What every page says of the exit code, and `--help` of the command itself.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the answer is no, or there is none; 2 the command line is wrong.";

const VARIABLES: [(&str, &str); 5] = [
    ("EVENKEEL_SERVER", "The URL of the API that commands ask; the option is stronger."),
    ("EVENKEEL_TOKEN", "The token of the API; --token-file is stronger."),
    ("EVENKEEL_LOG", "How much the server logs: warn,notify=error,evenkeel=info is the default."),
    ("NO_COLOR", "When it is not empty, nothing is in colour."),
    ("USER", "The author of overrides and dials, without --author and without a token."),
];

const FILES: [(&str, &str); 3] = [
    ("/etc/evenkeel/evenkeel.yaml", "The server file of the Debian package and its service."),
    ("/etc/evenkeel/zones/", "Its zone files."),
    (
        "/var/lib/evenkeel/",
        "What survives a restart: overrides, dials, verdicts, round trips, events.",
    ),
];

/// Prints what a shell has to know to complete `command`.
pub(super) fn completions(shell: Shell, mut command: Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&String::from_utf8(script).expect("what clap writes is text"))
}

/// Prints the page of `command`, or writes those of all commands into a folder.
pub(super) fn man(dir: Option<&Path>, command: Command) -> ExitCode {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(dir) = dir else {
        return print(&String::from_utf8(page(&command)).expect("what clap writes is text"));
    };
    match fs::create_dir_all(dir).and_then(|()| write_all(dir, &command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("`{}`: {error}\nhint: name a folder that may be written", dir.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes the page of `command` and those of the commands below it.
fn write_all(dir: &Path, command: &Command) -> io::Result<()> {
    for below in command.get_subcommands() {
        write_all(dir, below)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(dir.join(format!("{name}.1")), page(command))
}

fn page(command: &Command) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone()).source(format!("evenkeel {version}")).manual("Evenkeel");
    let mut text = Vec::new();
    let mut write = || -> io::Result<()> {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut text)?;
        }
        common_sections(command).to_writer(&mut text)
    };
    write().expect("a Vec takes everything");
    text
}

/// What is the same for all commands.
fn common_sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(EXIT_CODES.trim_start_matches("Exit codes: "))]);
    for (heading, entries) in [("ENVIRONMENT", &VARIABLES[..]), ("FILES", &FILES[..])] {
        roff.control("SH", [heading]);
        for (term, meaning) in entries {
            roff.control("TP", []);
            roff.text([bold(*term)]);
            roff.text([roman(*meaning)]);
        }
    }
    if command.get_name() != "evenkeel" {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("evenkeel"), roman("(1)")]);
    }
    roff
}
