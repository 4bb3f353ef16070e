//! The systemd service and timer for a station without `_12345.sh`, and the service that keeps a
//! station level all the time: the files that the package ships for stations in
//! `/home/<user>/.zen`, with the paths of this station.

use std::fs;
use std::path::{Path, PathBuf};

use constellation_shared::Station;
use sha2::{Digest, Sha256};

use crate::commands::install::found::Seen;
use crate::commands::install::options::UnitKind;
use crate::commands::install::plan::Plan;
use crate::commands::install::step::{Action, Kind, Step};
use crate::commands::install::{InstallError, invoked, plain};
use crate::support::unix_user::UnixUser;

const SERVICE: &str = include_str!("../../../package/constellation-sync@.service");
const TIMER: &str = include_str!("../../../package/constellation-sync@.timer");
const LIVE: &str = include_str!("../../../package/constellation-live@.service");

/// The path of the program in the files.
const PROGRAM: &str = "/usr/bin/constellation-sync";

/// The folders in which packages put units, old ones and new ones.
const SHIPPED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// How a unit of ours begins; the hash of what follows the line stands behind it.
const MARK: &str = "# By `constellation-sync install --systemd`, sha256 of what follows: ";

/// The plan of `install --systemd`, or of `install --live`.
///
/// # Errors
/// If this user may not write units, or the station cannot be read or its path not be written in a
/// unit.
pub(crate) fn install(
    folder: &Path,
    station: &Station,
    kind: UnitKind,
) -> Result<Plan, InstallError> {
    let units = Units::look(folder, station, &format!("install {}", kind.option()), kind)?;
    let mut plan = Plan {
        is_whole: true,
        ..Plan::default()
    };
    for (file, text) in &units.files {
        match &file.content {
            _ if units.are_shipped => {}
            Some(content) if content == text.as_bytes() => {}
            Some(content) if !is_ours(content) => leave(&mut plan, file),
            before => plan.steps.push(Step {
                why: "undone by removing it".to_owned(),
                action: Action::Write {
                    path: file.path.clone(),
                    before: before.clone(),
                    after: text.clone().into_bytes(),
                    kind: Kind::Plain,
                },
            }),
        }
    }
    let is_enabled = fs::symlink_metadata(&units.link).is_ok();
    if !plan.steps.is_empty() {
        plan.steps
            .push(systemctl("systemd reads them", &["daemon-reload"]));
    }
    if !plan.steps.is_empty() || !is_enabled {
        let why = "it runs from now on; undone by disabling it";
        let arguments = ["enable", "--now", &units.enabled];
        plan.steps.push(systemctl(why, &arguments));
    }
    Ok(plan)
}

/// The plan of `uninstall --systemd`, or of `uninstall --live`.
///
/// # Errors
/// As [`install`].
pub(crate) fn uninstall(
    folder: &Path,
    station: &Station,
    kind: UnitKind,
) -> Result<Plan, InstallError> {
    let units = Units::look(
        folder,
        station,
        &format!("uninstall {}", kind.option()),
        kind,
    )?;
    let mut plan = Plan {
        is_whole: true,
        ..Plan::default()
    };
    if fs::symlink_metadata(&units.link).is_ok() {
        let arguments = ["disable", "--now", &units.enabled];
        plan.steps.push(systemctl("it runs no more", &arguments));
    }
    let mut is_removed = false;
    for (file, _) in &units.files {
        match &file.content {
            None => {}
            Some(before) if is_ours(before) => {
                is_removed = true;
                plan.steps.push(Step {
                    why: "it was not there".to_owned(),
                    action: Action::Remove {
                        path: file.path.clone(),
                        before: before.clone(),
                    },
                });
            }
            Some(_) => leave(&mut plan, file),
        }
    }
    if is_removed {
        plan.steps
            .push(systemctl("systemd forgets them", &["daemon-reload"]));
    }
    Ok(plan)
}

struct Units {
    /// The files, and what they are to hold.
    files: Vec<(Seen, String)>,
    /// The unit that is enabled.
    enabled: String,
    /// The link that exists if it is.
    link: PathBuf,
    /// The package's files say the same.
    are_shipped: bool,
}

impl Units {
    fn look(
        folder: &Path,
        station: &Station,
        command: &str,
        kind: UnitKind,
    ) -> Result<Self, InstallError> {
        let failed = |error| InstallError::Read(station.root().to_owned(), error);
        let root = fs::canonicalize(station.root()).map_err(failed)?;
        let is_root = rustix::process::geteuid().is_root();
        if !is_root && folder == Path::new("/etc/systemd/system") {
            let command = format!("constellation-sync {command} --zen {}", root.display());
            return Err(InstallError::NotRoot(command));
        }
        let owner = fs::metadata(&root).map_err(failed)?;
        let user = UnixUser::owner_of(&owner);
        let program = invoked().unwrap_or_else(|| PathBuf::from(PROGRAM));
        for path in [&root, &program] {
            plain(path)?;
            if path.to_string_lossy().contains([' ', ':']) {
                let words = "systemd's units have no room for its blank or colon";
                return Err(InstallError::Odd(path.clone(), words.to_owned()));
            }
        }
        let home = if user.home.as_os_str().is_empty() {
            root.parent().unwrap_or(&root).to_owned()
        } else {
            user.home.clone()
        };
        let spelled = Spelling {
            user: &user.name,
            home: &home,
            root: &root,
            program: &program,
        };
        let name = |kind: &str| format!("constellation-sync@{}.{kind}", user.name);
        let (enabled, target, files) = match kind {
            UnitKind::Timer => (
                name("timer"),
                "timers.target.wants",
                vec![
                    (name("service"), spelled.service(SERVICE)),
                    (name("timer"), spelled.spell(TIMER)),
                ],
            ),
            UnitKind::Live => {
                let name = format!("constellation-live@{}.service", user.name);
                let files = vec![(name.clone(), spelled.service(LIVE))];
                (name, "multi-user.target.wants", files)
            }
        };
        let link = folder.join(target).join(&enabled);
        let is_usual = program == Path::new(PROGRAM)
            && root == Path::new("/home").join(&user.name).join(".zen");
        let shipped = match kind {
            UnitKind::Timer => "constellation-sync@.timer",
            UnitKind::Live => "constellation-live@.service",
        };
        let ships = |folder: &&str| Path::new(folder).join(shipped).exists();
        let files = files.into_iter();
        let files = files.map(|(name, text)| Ok((Seen::look(folder.join(name))?, text)));
        Ok(Self {
            files: files.collect::<Result<_, InstallError>>()?,
            enabled,
            link,
            are_shipped: is_usual && SHIPPED.iter().any(ships),
        })
    }
}

/// What is particular about a station.
struct Spelling<'a> {
    user: &'a str,
    home: &'a Path,
    root: &'a Path,
    program: &'a Path,
}

impl Spelling<'_> {
    fn service(&self, shipped: &str) -> String {
        let mut text = shipped
            .replace("/home/%i/.zen", &self.root.display().to_string())
            .replace(PROGRAM, &self.program.display().to_string());
        // Homes are hidden, but for what is named.
        if let Some(folder) = self.program.parent()
            && folder.starts_with(self.home)
        {
            let more = format!("\nBindReadOnlyPaths={}\nBindPaths=", folder.display());
            text = text.replacen("\nBindPaths=", &more, 1);
        }
        self.spell(&text)
    }

    fn spell(&self, text: &str) -> String {
        let text = text
            .replace("/home/%i", &self.home.display().to_string())
            .replace("%i", self.user);
        // The first remark is about the package's.
        let text = text.get(text.find("[Unit]").unwrap_or(0)..);
        let text = text.unwrap_or_default();
        format!("{MARK}{}\n{text}", hash(text.as_bytes()))
    }
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a unit is as an install of whatever version wrote it.
fn is_ours(content: &[u8]) -> bool {
    let Some(rest) = content.strip_prefix(MARK.as_bytes()) else {
        return false;
    };
    let end = rest.iter().position(|&byte| byte == b'\n');
    let parts = end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)));
    parts.is_some_and(|(mark, text)| hash(text).as_bytes() == mark)
}

fn leave(plan: &mut Plan, file: &Seen) {
    plan.is_whole = false;
    plan.notes.push(format!(
        "{} is not as `install` writes it: it is left alone; for settings of your own \
         use `systemctl edit`",
        file.path.display()
    ));
}

fn systemctl(why: &str, arguments: &[&str]) -> Step {
    Step {
        why: why.to_owned(),
        action: Action::Run {
            program: PathBuf::from("systemctl"),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(root: &str, program: &str) -> String {
        Spelling {
            user: "ann",
            home: Path::new("/home/ann"),
            root: Path::new(root),
            program: Path::new(program),
        }
        .service(SERVICE)
    }

    #[test]
    fn a_station_in_its_usual_place_has_the_package_s_units() {
        let text = spelled("/home/ann/.zen", PROGRAM);
        let shipped = SERVICE.replace("%i", "ann");
        let (_, shipped) = shipped.split_once("[Unit]").unwrap();
        assert!(text.ends_with(shipped), "{text}");
        assert!(!text.contains('%') && is_ours(text.as_bytes()));
        assert!(!is_ours(text.replace("Nice=10", "Nice=0").as_bytes()));
        assert!(!is_ours(SERVICE.as_bytes()) && !is_ours(b""));
    }

    #[test]
    fn a_station_elsewhere_is_spelled_out() {
        let text = spelled("/data/zen", "/home/ann/bin/constellation-sync");
        for line in [
            "ExecStart=/home/ann/bin/constellation-sync trigger --zen /data/zen",
            "User=ann",
            "BindReadOnlyPaths=/home/ann/bin",
            "BindPaths=/data/zen/strfry -/data/zen/tmp/coucou",
            "ConditionPathIsDirectory=/data/zen/strfry",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
