//! `doctor` about the kinds of events that are fetched, compared with those that the station's own
//! backfill asks for.

use constellation_shared::kinds::Set;
use constellation_shared::{Station, counted};

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::commands::install::found::Found;
use crate::commands::install::kinds::KindsAsked;
use crate::context::Context;
use crate::options::{KindOption, Options};

/// How many kinds are named in one finding.
const MOST_NAMED: usize = 60;

/// The kinds that are fetched, and those that the station's own backfill asks for.
#[derive(Debug)]
pub(crate) struct Facts {
    options: Options,
    asked: KindsAsked,
    settings: String,
}

impl Facts {
    /// Reads the station's own script, as git has it or as it was before an install.
    pub(crate) fn gather(context: &Context) -> Self {
        let Context {
            station, options, ..
        } = context;
        Self {
            options: options.clone(),
            asked: asked(station).unwrap_or_default(),
            settings: quoted(&station.settings_file()),
        }
    }

    /// Which kinds are left out that the station's own backfill asks for.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let wanted = self.options.wanted_kinds();
        let of_any_author = self.options.any_author_kinds();
        let mut findings = Vec::new();
        let missing = self.asked.missing_in(&wanted);
        // Whoever leaves out direct messages on purpose knows it.
        let missing: Vec<u16> = missing
            .into_iter()
            .filter(|kind| {
                !self.options.no_dms || *kind != constellation_shared::kinds::DIRECT_MESSAGE
            })
            .collect();
        findings.extend(self.left_out(KindOption::Kinds, &missing));
        let missing = self.asked.any_author.iter();
        let missing: Vec<u16> = missing
            .filter(|kind| !of_any_author.contains(kind))
            .copied()
            .collect();
        findings.extend(self.left_out(KindOption::AnyAuthor, &missing));
        if findings.is_empty() {
            let mut text = format!("{} are fetched", counted(wanted.len() as u64, "kind"));
            if !of_any_author.is_empty() {
                let count = of_any_author.len() as u64;
                text.push_str(&format!(
                    ", and {} whoever wrote them",
                    counted(count, "kind")
                ));
            }
            findings.push(Finding::ok("kinds", text));
        }
        findings
    }

    fn left_out(&self, option: KindOption, missing: &[u16]) -> Option<Finding> {
        if missing.is_empty() {
            return None;
        }
        let named: Vec<String> = missing
            .iter()
            .take(MOST_NAMED)
            .map(ToString::to_string)
            .collect();
        let whose = match option {
            KindOption::Kinds => "",
            KindOption::AnyAuthor => " of any author",
        };
        let text = format!(
            "the station's own backfill also fetches {}{whose} that ours leaves out: {}",
            counted(missing.len() as u64, "kind"),
            named.join(", ")
        );
        let file = match option {
            KindOption::Kinds => &self.options.file.kinds,
            KindOption::AnyAuthor => &self.options.file.any_author_kinds,
        };
        let uplanet = Set::Uplanet.numbers();
        let setting = match (option, file) {
            (KindOption::Kinds, None) if missing.iter().all(|kind| uplanet.contains(kind)) => {
                Set::Uplanet.name().to_owned()
            }
            (_, list) => {
                let mut words: Vec<String> = list.iter().map(ToString::to_string).collect();
                words.extend(missing.iter().map(|kind| format!("+{kind}")));
                words.join(",")
            }
        };
        let name = option.name();
        let remedy = Remedy::from(format!("nano {}", self.settings)).because(format!(
            "if they are wanted, write in its table [sync]: {name} = \"{setting}\""
        ));
        Some(Finding::warn("kinds_left_out", text, remedy))
    }
}

fn asked(station: &Station) -> Option<KindsAsked> {
    let found = Found::look(station).ok()?;
    let record = found.recorded().ok()?;
    Some(KindsAsked::before(&found, &record))
}
