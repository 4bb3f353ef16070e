//! Man pages and completions of both programs, from what their `--help` is made of.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

/// More options than this, most of them of the backfill, are in the page of the program alone.
const MANY: usize = 30;

/// Writes them into the folders `man` and `completions` of this one.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    let programs: [Command; 2] = [
        constellation_policy::options::Options::command(),
        constellation_sync::testing::cli::Cli::definition(),
    ];
    let (pages, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    for program in programs {
        // `help` says what is in these pages.
        let mut program = program.disable_help_subcommand(true);
        let name = program.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            generate_to(shell, &mut program, &name, &completions)?;
        }
        clap_mangen::generate_to(with_short_pages(program), &pages)?;
    }
    Ok(())
}

/// The program, whose commands that take nearly all of its options do not explain these again.
fn with_short_pages(mut program: Command) -> Command {
    let general: Vec<String> = program
        .get_arguments()
        .map(|option| option.get_id().to_string())
        .collect();
    let name = program.get_name().to_owned();
    // From here on, each command has the options that it shares with the program.
    program.build();
    program.mut_subcommands(|command| {
        let shown = command
            .get_arguments()
            .filter(|option| !option.is_hide_set());
        if shown.count() < MANY {
            return command;
        }
        let text = command.get_after_help().map(ToString::to_string);
        let text = text.unwrap_or_default();
        command
            .mut_args(|option| {
                let is_general = general.contains(&option.get_id().to_string());
                let is_hidden = option.is_hide_set() || is_general;
                option.hide(is_hidden)
            })
            .after_help(format!(
                "The options of {name}(1) can be given, too.\n\n{text}"
            ))
    })
}
