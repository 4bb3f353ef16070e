//! [`SettingsFound`]: the settings file of a station, and which lists count by it and by strfry's plugin
//! line.

use std::path::Path;

use constellation_shared::Station;
use constellation_shared::settings::{ListSettings, Settings};

use crate::strfry::conf::edit::PLUGIN;
use crate::strfry::conf::{Conf, ConfError};
use crate::strfry::plugin_line::{self, PluginSettings};

/// Which lists count, what the settings file says, and what is not understood of it.
#[derive(Debug, Default)]
pub(crate) struct SettingsFound {
    /// The lists.
    pub lists: ListSettings,
    /// What strfry's plugin line tells the policy.
    pub plugin: PluginSettings,
    /// What the settings file says.
    pub file: Settings,
    /// What is not understood, each in words.
    pub doubts: Vec<String>,
    /// Whether a settings file that is not understood may name another blacklist.
    pub blacklist_is_unknown: bool,
}

impl SettingsFound {
    /// What counts for a station: what was `given` on our own command line or by our own
    /// variables, else what strfry's plugin line tells the policy, else the file that both
    /// programs read. Returns the station with the settings file that was read.
    pub(crate) fn look(station: Station, given: ListSettings) -> (Station, Self) {
        let folder = station.strfry_dir();
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let mut doubts = Vec::new();
        let plugin = by_plugin_line(&station, &folder).unwrap_or_else(|doubt| {
            doubts.push(doubt);
            PluginSettings::default()
        });
        let station = match &plugin.config {
            Some(config) if station.has_given_settings_file() => {
                if !is_same(config, &station.settings_file()) {
                    doubts.push(format!(
                        "{} has the policy read other settings than these, {}; the relay and the backfill may differ",
                        folder.join("strfry.conf").display(),
                        config.display()
                    ));
                }
                station
            }
            Some(config) => station.with_settings_file(Some(config.clone())),
            None => station,
        };
        let path = station.settings_file();
        let path = std::path::absolute(&path).unwrap_or(path);
        let file = Settings::load(&path);
        if station.has_given_settings_file() && !path.exists() {
            doubts.push(format!(
                "{} is not there: until it is, no setting in it counts; check --config, also in strfry's plugin line",
                path.display()
            ));
        }
        let named = given.or(plugin.lists.clone());
        let mut blacklist_is_unknown = false;
        if let Some(why) = &file.fault {
            blacklist_is_unknown = named.blacklist.is_none() && file.mentioned.blacklist;
            doubts.push(format!(
                "{} is not understood, {why}; until it is mended, friends of other stations do not count",
                path.display()
            ));
        }
        let found = Self {
            lists: named.or(file.strictest_lists()),
            plugin,
            file,
            doubts,
            blacklist_is_unknown,
        };
        (station, found)
    }
}

/// The settings in strfry's plugin line.
fn by_plugin_line(station: &Station, folder: &Path) -> Result<PluginSettings, String> {
    let path = folder.join("strfry.conf");
    let unknown = |why: String| {
        format!(
            "{} {why}; what its plugin line says about the lists is not known here",
            path.display()
        )
    };
    let conf = match Conf::read(&path) {
        Err(ConfError::Fault(fault)) => return Err(unknown(fault.to_string())),
        Err(ConfError::Read(_)) | Ok(None) => return Ok(PluginSettings::default()),
        Ok(Some(conf)) => conf,
    };
    let line = conf.text(&PLUGIN);
    let line = line.map_err(|fault| unknown(fault.to_string()))?;
    let read = plugin_line::read(line.unwrap_or_default(), folder);
    let found =
        read.map_err(|why| unknown(format!("names a plugin that is not understood: {why}")));
    let found = found?.unwrap_or_default();
    match &found.zen {
        Some(zen) if !is_same(zen, station.root()) => Err(unknown(format!(
            "starts the policy for another station, {}",
            zen.display()
        ))),
        _ => Ok(found),
    }
}

fn is_same(left: &Path, right: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    left == right || (real(left) == real(right) && real(left).is_some())
}
