//! `doctor` about the disk of the database: whether it can be written, how much room there is and for
//! how long, and what it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::report::growth::Growth;
use crate::report::last;
use crate::support::humanize::bytes;

/// Below this a run may end in the middle of an import, in bytes.
const LEAST_FREE: u64 = 100 * 1024 * 1024;

/// Below this it is time to make room, in bytes.
const LITTLE_FREE: u64 = 500 * 1024 * 1024;

/// If the room lasts for fewer days than this, it is time to make more.
const FEW_DAYS: u64 = 14;

/// Over how many days the growth of the database is measured.
const MEASURED_DAYS: u64 = 30;

/// With fewer free inodes than this, files can soon not be made any more.
const FEW_INODES: u64 = 1000;

/// What is known of the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The folder of the database.
    at: PathBuf,
    /// How many bytes may still be written; `None` if that is unknown.
    free: Option<u64>,
    /// How many files may still be made; `None` if that is unknown or unlimited.
    free_inodes: Option<u64>,
    is_read_only: bool,
    /// The name of the device if it is an SD card or the like.
    card: Option<String>,
    /// By how many bytes the database grows in a day, if that is known.
    growth: Option<u64>,
}

impl Facts {
    /// Looks at the disk of this folder; the last report says how the database grows.
    pub(crate) fn gather(at: &Path, report: &Path) -> Self {
        let disk = rustix::fs::statvfs(at).ok();
        let document = last::load(report).ok().flatten();
        let growth = document.and_then(|document| Growth::over(&document, MEASURED_DAYS));
        Self {
            at: at.to_owned(),
            free: disk
                .as_ref()
                .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            // File systems that make inodes as they need them say that there are none.
            free_inodes: disk
                .as_ref()
                .filter(|disk| disk.f_files > 0)
                .map(|disk| disk.f_favail),
            is_read_only: disk
                .as_ref()
                .is_some_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY)),
            card: card(at),
            growth: growth.and_then(|growth| u64::try_from(growth.per_day()).ok()),
        }
    }

    /// What is wrong with it.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let at = self.at.display();
        if self.is_read_only {
            return vec![Finding::fail(
                "disk_read_only",
                format!("{at} is on a disk that is mounted read-only: nothing can be stored"),
                Remedy::from("sudo dmesg --level=err | tail -n 20").because(
                    "Linux does that to a disk with faults, as this may show; copy what is on it before you repair it",
                ),
            )];
        }
        let Some(free) = self.free else {
            return vec![Finding::unknown(
                "disk_unknown",
                format!("the disk of {at} does not say how much room it has"),
                format!("df -h {}", quoted(&self.at)),
            )];
        };
        let mut findings = vec![self.judge_room(free)];
        if let Some(inodes) = self.free_inodes.filter(|inodes| *inodes < FEW_INODES) {
            findings.push(Finding::warn(
                "inodes_low",
                format!("only {inodes} more files can be made on the disk of {at}, however small"),
                Remedy::from(format!("df -i {}", quoted(&self.at))).because(
                    "find the folder with the many small files, and delete what is not needed",
                ),
            ));
        }
        findings
    }

    fn judge_room(&self, free: u64) -> Finding {
        let mut text = format!("{} are free at {}", bytes(free), self.at.display());
        let days = self.growth.filter(|growth| *growth > 0).map(|growth| {
            let days = free / growth;
            text.push_str(&format!(
                "; the database grows by {} a day, so that lasts for {}",
                bytes(growth),
                if days > 3650 {
                    "years".to_owned()
                } else {
                    format!("{days} days")
                }
            ));
            days
        });
        if let Some(card) = &self.card {
            text.push_str(&format!(
                "; {card} is a memory card, which wears out: keep a copy elsewhere"
            ));
        }
        let remedy = Remedy::from("sudo journalctl --vacuum-size=100M")
            .run("ipfs repo gc")
            .because("make room, or use a larger disk");
        let is_short = days.is_some_and(|days| days < FEW_DAYS);
        match free {
            0..LEAST_FREE => Finding::fail("disk_full", text, remedy),
            LEAST_FREE..LITTLE_FREE => Finding::warn("disk_low", text, remedy),
            _ if is_short => Finding::warn("disk_low", text, remedy),
            _ => Finding::ok("disk", text),
        }
    }
}

/// The device that a folder is on, if it is a memory card by its name (`mmcblk0p2`).
fn card(at: &Path) -> Option<String> {
    let device = fs::metadata(at).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let name = link.file_name()?.to_string_lossy().into_owned();
    name.starts_with("mmcblk").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
        let mut facts = Facts {
            at: "/zen/strfry/strfry-db".into(),
            free: Some(100 * LITTLE_FREE),
            free_inodes: Some(1_000_000),
            ..Facts::default()
        };
        change(&mut facts);
        facts.judge().iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn little_room_is_said_before_there_is_none() {
        for (free, code) in [
            (0, "disk_full"),
            (LEAST_FREE - 1, "disk_full"),
            (LEAST_FREE, "disk_low"),
            (LITTLE_FREE - 1, "disk_low"),
            (LITTLE_FREE, "disk"),
            (u64::MAX, "disk"),
        ] {
            assert_eq!(codes(|facts| facts.free = Some(free)), [code], "{free}");
        }
        assert_eq!(codes(|facts| facts.free = None), ["disk_unknown"]);
    }

    #[test]
    fn room_that_lasts_for_days_only_is_little() {
        let growing = |per_day| {
            codes(|facts| {
                facts.free = Some(LITTLE_FREE * FEW_DAYS);
                facts.growth = Some(per_day);
            })
        };
        assert_eq!(growing(0), ["disk"]);
        assert_eq!(growing(LITTLE_FREE), ["disk"]);
        assert_eq!(growing(LITTLE_FREE + LITTLE_FREE / 10), ["disk_low"]);
    }

    #[test]
    fn a_disk_may_be_closed_or_out_of_inodes() {
        assert_eq!(codes(|facts| facts.is_read_only = true), ["disk_read_only"]);
        let few = |facts: &mut Facts| facts.free_inodes = Some(FEW_INODES - 1);
        assert_eq!(codes(few), ["disk", "inodes_low"]);
        assert_eq!(codes(|facts| facts.free_inodes = None), ["disk"]);
        let facts = Facts {
            free: Some(u64::MAX),
            card: Some("mmcblk0p2".to_owned()),
            ..Facts::default()
        };
        assert!(facts.judge()[0].text.contains("mmcblk0p2 is a memory card"));
    }
}
