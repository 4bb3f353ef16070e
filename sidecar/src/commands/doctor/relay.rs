//! `doctor` about our own relay: whether strfry answers on its port, and whether it shows direct
//! messages (kind 4) to other stations.

use std::net::IpAddr;
use std::path::PathBuf;

use constellation_shared::kinds::DIRECT_MESSAGE;

use crate::commands::doctor::finding::{Finding, Remedy, edit, quoted};
use crate::commands::probe::{Unanswered, ask};
use crate::relay::address::Address;
use crate::relay::connection::Connector;
use crate::relay::nip11::{Information, InformationError};
use crate::strfry::conf::Conf;
use crate::support::error_chain::chain;
use crate::support::sanitize::for_terminal;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// What is known of our own relay.
#[derive(Debug)]
pub(crate) struct Facts {
    conf: PathBuf,
    address: Address,
    /// `relay.auth.restrictedReadKinds`, if the conf sets it.
    restricted: Option<String>,
    /// Whether the conf has a block of that name.
    has_auth_block: bool,
    information: Result<Information, InformationError>,
    /// `None` if it was not asked.
    direct_messages: Option<Result<(), Unanswered>>,
}

impl Facts {
    /// Asks what listens where this conf says that strfry does; for direct messages only
    /// where they are wanted.
    pub(crate) async fn gather(
        path: PathBuf,
        conf: &Conf,
        connector: &Connector,
        dms: bool,
    ) -> Self {
        let address = own_address(conf);
        let information = Information::fetch(&address, connector).await;
        let direct_messages = if dms && is_strfry(&information) {
            let one = serde_json::json!({"kinds": [DIRECT_MESSAGE], "limit": 1});
            Some(ask(&one, &address, connector).await.map(drop))
        } else {
            None
        };
        Self {
            conf: path,
            address,
            restricted: conf
                .text(&["relay", "auth", "restrictedReadKinds"])
                .ok()
                .flatten()
                .map(ToOwned::to_owned),
            has_auth_block: conf.has_block(&["relay", "auth"]),
            information,
            direct_messages,
        }
    }

    /// The name and version of its software, if strfry answers.
    pub(crate) fn software(&self) -> Option<String> {
        let information = self.information.as_ref().ok()?;
        let is_strfry = is_strfry(&self.information);
        information.software.clone().filter(|_| is_strfry)
    }

    /// What is wrong with it.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.judge_port()];
        findings.extend(self.judge_direct_messages());
        findings
    }

    fn judge_port(&self) -> Finding {
        let address = &self.address;
        match &self.information {
            Err(InformationError::Connect(error)) => Finding::fail(
                "relay_down",
                format!("our relay does not answer at {address}: {}", chain(error)),
                Remedy::from("sudo systemctl restart strfry").run("journalctl -u strfry -n 50"),
            ),
            Err(error) => Finding::fail(
                "relay_not_strfry",
                format!("what listens at {address} is not strfry: {}", chain(error)),
                Remedy::from(listening(address)).because("see what it is"),
            ),
            Ok(information) if !is_strfry(&self.information) => Finding::fail(
                "relay_not_strfry",
                format!(
                    "what listens at {address} is {}, not strfry: it uses no plugin, and does not show what is synced",
                    information.software.as_deref().unwrap_or("nameless")
                ),
                Remedy::from(listening(address))
                    .run("sudo systemctl restart strfry")
                    .because("see what it is, end it, and start strfry"),
            ),
            Ok(information) => Finding::ok(
                "relay",
                format!(
                    "{} answers at {address}",
                    information.software.as_deref().unwrap_or("strfry")
                ),
            ),
        }
    }

    fn judge_direct_messages(&self) -> Option<Finding> {
        let by_setting = self.restricted.as_deref().is_some_and(restricts_dms);
        let kept = match &self.direct_messages {
            Some(Ok(())) => false,
            Some(Err(Unanswered::Kept)) => true,
            // Older ones do not know the setting, newer ones restrict them without it.
            Some(Err(error)) if !by_setting => {
                return Some(Finding::unknown(
                    "dms_unknown",
                    format!(
                        "our relay does not answer a question for direct messages (kind 4), so it was not checked whether it shows them: {}",
                        for_terminal(&chain(error), LONGEST)
                    ),
                    Remedy::explain("look at the other findings first, then ask again"),
                ));
            }
            Some(Err(_)) => true,
            None => return None,
        };
        if !kept {
            let text = "our relay shows direct messages (kind 4) to other stations";
            return Some(Finding::ok("dms", text));
        }
        let conf = quoted(&self.conf);
        let remedy = match self.restricted {
            Some(_) => edit(r#"'s/^(\s*restrictedReadKinds\s*=\s*)[^#]*/\1"" /'"#, &conf),
            None if self.has_auth_block => edit(
                r#"'s/^\s*auth\s*\{/&\n        restrictedReadKinds = ""/'"#,
                &conf,
            ),
            None => edit(
                r#"'s/^\s*relay\s*\{/&\n    auth {\n        restrictedReadKinds = ""\n    }/'"#,
                &conf,
            ),
        };
        Some(Finding::warn(
            "dms_kept",
            "our relay shows direct messages (kind 4) only to clients who authenticate, so other stations cannot fetch them (relay.auth.restrictedReadKinds). If they are shown, their text stays encrypted, but everybody can see who wrote to whom",
            Remedy::from(remedy).because(
                "if they may be shown; otherwise leave them out of the backfill: --no-dms",
            ),
        ))
    }
}

/// The command that shows what listens at this address.
fn listening(address: &Address) -> String {
    format!("sudo ss -ltnp 'sport = :{}'", address.port())
}

fn is_strfry(information: &Result<Information, InformationError>) -> bool {
    let software = information.as_ref().ok().and_then(|i| i.software.as_ref());
    software.is_some_and(|software| software.to_ascii_lowercase().contains("strfry"))
}

/// The address on which strfry listens according to its conf, as this machine reaches it.
fn own_address(conf: &Conf) -> Address {
    let port = conf.relay_port();
    let bind = conf.text(&["relay", "bind"]).ok().flatten();
    let host: Option<IpAddr> = bind.and_then(|bind| bind.parse().ok());
    let elsewhere = host.filter(|host| !host.is_loopback() && !host.is_unspecified());
    let url = match elsewhere {
        Some(IpAddr::V6(host)) => format!("ws://[{host}]:{port}"),
        Some(host) => format!("ws://{host}:{port}"),
        None => return Address::on_this_machine(port),
    };
    Address::parse(&url).unwrap_or_else(|_| Address::on_this_machine(port))
}

fn restricts_dms(kinds: &str) -> bool {
    let mut kinds = kinds.split(',').map(str::trim);
    kinds.any(|kind| kind.parse() == Ok(DIRECT_MESSAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn the_address_is_the_conf_s() {
        for (text, address) in [
            ("", "ws://127.0.0.1:7777"),
            ("relay { port = 7778 }", "ws://127.0.0.1:7778"),
            (
                "relay { bind = \"0.0.0.0\" port = 65536 }",
                "ws://127.0.0.1:7777",
            ),
            ("relay { bind = \"10.0.0.7\" }", "ws://10.0.0.7:7777"),
            ("relay { bind = \"fd00::1\" }", "ws://[fd00::1]:7777"),
            ("relay { bind = \"::\" }", "ws://127.0.0.1:7777"),
        ] {
            let conf = Conf::parse(text.as_bytes(), std::path::Path::new("/")).unwrap();
            assert_eq!(own_address(&conf).to_string(), address, "{text}");
        }
    }

    #[test]
    fn the_setting_decides_where_the_relay_does_not_tell() {
        let facts = |restricted: Option<&str>, told| Facts {
            conf: PathBuf::new(),
            address: own_address(&Conf::empty()),
            restricted: restricted.map(ToOwned::to_owned),
            has_auth_block: false,
            information: Ok(Information::default()),
            direct_messages: told,
        };
        let silent = || Some(Err(Unanswered::Refused("no".to_owned())));
        for (restricted, told, level) in [
            (Some("4, 1059"), silent(), Level::Warn),
            (Some("1059,4"), silent(), Level::Warn),
            (Some("1059"), silent(), Level::Unknown),
            (Some("44"), silent(), Level::Unknown),
            (None, silent(), Level::Unknown),
            (None, Some(Err(Unanswered::Kept)), Level::Warn),
            (Some("4"), Some(Ok(())), Level::Ok),
        ] {
            let finding = facts(restricted, told).judge_direct_messages().unwrap();
            assert_eq!(finding.level, level, "{restricted:?}");
        }
        assert!(facts(Some("4"), None).judge_direct_messages().is_none());
    }
}
