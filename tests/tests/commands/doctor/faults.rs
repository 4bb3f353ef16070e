//! Each fault that is planted into a sound station is found alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use constellation_tests::command::TestCommand;

use super::faults_around::AROUND;
use super::faults_here::HERE;
use super::sound::Sound;

/// Whether the remedy is a command that leaves a sound station when it is run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Remedy {
    Command,
    ForPeople,
}
use Remedy::{Command, ForPeople};

pub(crate) struct Fault {
    code: &'static str,
    level: &'static str,
    remedy: Remedy,
    plant: fn(&mut Sound),
}

pub(crate) const fn fault(
    code: &'static str,
    level: &'static str,
    remedy: Remedy,
    plant: fn(&mut Sound),
) -> Fault {
    Fault {
        code,
        level,
        remedy,
        plant,
    }
}

fn find(fault: &Fault) {
    let mut sound = Sound::new();
    (fault.plant)(&mut sound);
    let found = sound.found();
    let [(code, level, remedy)] = &found[..] else {
        panic!("{} was planted, and this found: {found:?}", fault.code);
    };
    assert_eq!((&code[..], &level[..]), (fault.code, fault.level));
    let command = match fault.remedy {
        ForPeople => return,
        Command => remedy,
    };
    // strfry watches the file that it read, not what takes its place.
    let conf = sound.station.strfry_dir().join("strfry.conf");
    let inode = || fs::metadata(&conf).map(|conf| conf.ino());
    let before = inode().ok();
    let shell = TestCommand::new("sh", &sound.station.home()).args(["-c", command]);
    shell.output().expect_code(0);
    assert!(before.is_none() || inode().ok() == before, "{command}");
    assert_eq!(sound.found(), [], "after {command}");
}

#[test]
fn each_planted_fault_is_found_alone_and_its_command_mends_it() {
    let faults: Vec<&Fault> = HERE.iter().chain(AROUND).collect();
    assert!(faults.len() >= 20);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(fault) = faults.get(index) else {
                        return;
                    };
                    find(fault);
                }
            });
        }
    });
}
