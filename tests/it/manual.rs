//! Completions and manual pages, as bash and groff take them.

use std::{fs, process::Command};

use crate::process::evenkeel;

#[test]
fn bash_completes_commands_options_and_values() {
    let check = |words: &str, expect: &[&str]| {
        let words_before: Vec<&str> = words.split(' ').collect();
        let [.., before, last] = words_before[..] else { panic!("two words or more") };
        // What bash does when somebody presses the tab key behind `words`.
        let script = format!(
            "source <(\"$1\" completions bash)\nCOMP_WORDS=({words})\nCOMP_CWORD={}\n\
             _evenkeel evenkeel '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words_before.len() - 1
        );
        let words_after = out(Command::new("bash")
            .args(["-e", "-u", "-o", "pipefail", "-c", &script, "bash"])
            .arg(env!("CARGO_BIN_EXE_evenkeel")));
        assert_eq!(words_after.lines().collect::<Vec<_>>(), expect, "{words}");
    };
    check("evenkeel overr", &["override"]);
    check("evenkeel override cl", &["clear"]);
    check("evenkeel serve --take", &["--takeover"]);
    check("evenkeel completions z", &["zsh"]);
}

#[test]
fn every_command_has_a_page_without_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    out(evenkeel().args(["man", "--dir"]).arg(&pages));
    let mut names: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expect = vec!["evenkeel.1".to_owned()];
    let help = out(evenkeel().arg("help"));
    let commands = help.split("Commands:\n").nth(1).unwrap().lines();
    let commands = commands.map_while(|it| it.split_whitespace().next());
    expect.extend(commands.filter(|it| *it != "help").map(|it| format!("evenkeel-{it}.1")));
    for below in ["latency-import", "override-clear", "override-list", "override-set", "token-new"]
    {
        expect.push(format!("evenkeel-{below}.1"));
    }
    expect.sort();
    assert_eq!(names, expect);

    for name in names {
        let page = pages.join(&name);
        let output = Command::new("groff")
            .args(["-man", "-ww", "-Tutf8", "-z"])
            .arg(&page)
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
        let text = fs::read_to_string(&page).unwrap();
        for said in ["EXIT STATUS", "EVENKEEL_TOKEN", "NO_COLOR"] {
            assert!(text.contains(said), "{name} says nothing of {said}:\n{text}");
        }
        if name == "evenkeel.1" {
            assert_eq!(text, out(evenkeel().arg("man")));
        }
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let check = |arguments: &[&str], code, said: &str| {
        let output = evenkeel().args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    };
    check(&["man"], 0, "");
    check(&["man", "--dir", "/dev/null/pages"], 1, "hint: name a folder that may be written");
    check(&["completions", "bish"], 2, "tip: a similar value exists: 'fish'");
    check(&["completion", "bash"], 2, "tip: a similar subcommand exists: 'completions'");
}

/// What a command prints; it has to succeed.
#[track_caller]
fn out(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).expect("it is text")
}
