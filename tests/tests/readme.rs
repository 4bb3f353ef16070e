//! The README shows what the programs really print.

use constellation_tests::station;

const README: &str = include_str!("../../README.md");

/// The lines that the README shows behind a prompt with this command.
fn shown_behind(command: &str) -> Vec<&'static str> {
    let mut lines = README
        .lines()
        .skip_while(|line| *line != format!("$ {command}"));
    assert!(lines.next().is_some(), "the README has no `$ {command}`");
    lines
        .take_while(|line| !line.starts_with("$ ") && *line != "```")
        .collect()
}

#[test]
fn the_answers_in_the_readme_are_the_program_s() {
    let station = station!();
    station.write("strfry/blacklist.txt", "2".repeat(64) + "\n");
    let requests = shown_behind("cat requests").join("\n");
    let policy = station.command("constellation-policy").stdin(requests);
    let printed = policy.output();
    let shown = shown_behind("constellation-policy < requests 2>/dev/null");
    assert_eq!(printed.stdout.lines().collect::<Vec<_>>(), shown);
    printed.expect_code(0);
}

#[test]
fn the_explanation_in_the_readme_is_the_program_s() {
    let station = station!();
    let key = "2".repeat(64);
    station.write("strfry/blacklist.txt", key.clone() + "\n");
    let printed = station.run("constellation-policy", &["explain", &key]);
    printed.expect_code(1);
    let shown = shown_behind(&format!("constellation-policy explain {key}")).join("\n") + "\n";
    let home = station.home();
    assert_eq!(
        printed
            .stdout
            .replace(&home.display().to_string(), "/home/captain"),
        shown
    );
}

#[test]
fn every_option_is_in_the_readme() {
    let station = station!();
    for program in ["constellation-policy", "constellation-sync"] {
        let help = station.run(program, &["--help"]).stdout;
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for option in options {
            let option = option.trim_end_matches([',', '.', ')']);
            let listed =
                README.contains(&format!("`{option}")) || matches!(option, "--help" | "--version");
            assert!(listed, "{program} {option} is not in the README");
        }
    }
}

#[test]
fn the_one_test_command_is_what_ci_runs() {
    let ci = include_str!("../../.ci/run");
    let command = "cargo test --workspace --locked";
    assert!(README.contains(&format!("\n    {command}\n")));
    assert!(ci.lines().any(|line| line == command));
}
