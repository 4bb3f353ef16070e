//! Faults of the station itself: folders, strfry, lists, plugin, our relay.

use std::fs;
use std::path::Path;

use constellation_tests::Behaviour;
use constellation_tests::relay::{Nip11, dead_url};

use super::faults::Remedy::{Command, ForPeople};
use super::faults::{Fault, fault};
use super::sound::set_mode;

pub(crate) const HERE: &[Fault] = &[
    fault("root_missing", "fail", ForPeople, |sound| {
        let nowhere = sound.path("nowhere").display().to_string();
        sound.arguments = vec!["--zen".to_owned(), nowhere];
    }),
    fault("strfry_folder_missing", "fail", ForPeople, |sound| {
        fs::remove_dir_all(sound.path("strfry")).unwrap();
    }),
    fault("strfry_missing", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry")).unwrap();
    }),
    fault("strfry_broken", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry")).unwrap();
        sound.station.write("strfry/strfry", "#!/bin/sh\nexit 3\n");
        set_mode(&sound.path("strfry/strfry"), 0o755);
    }),
    fault("strfry_refuses", "fail", ForPeople, |sound| {
        match sound.station.stands_in() {
            true => sound.environment.push(("STANDIN_EXIT", "1".to_owned())),
            false => sound
                .station
                .write("strfry/strfry-db/data.mdb", "x".repeat(9000)),
        }
    }),
    fault("conf_missing", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry.conf")).unwrap();
    }),
    fault("conf_faulty", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf + "relay {\n");
    }),
    fault("conf_unreadable", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry.conf")).unwrap();
        fs::create_dir(sound.path("strfry/strfry.conf")).unwrap();
    }),
    fault("nofiles", "fail", Command, |sound| {
        sound.replace("nofiles = 0", "nofiles = 9000000000000000000");
    }),
    fault("event_size", "warn", Command, |sound| {
        sound.replace("maxEventSize = 65536", "maxEventSize = 65535");
    }),
    fault("payload_size", "warn", Command, |sound| {
        sound.replace("PayloadSize = 131072", "PayloadSize = 65535");
    }),
    fault("map_full", "fail", ForPeople, |sound| {
        sound.replace("mapsize = 10995116277760", "mapsize = 1");
    }),
    fault("db_missing", "fail", Command, |sound| {
        fs::remove_dir_all(sound.path("strfry/strfry-db")).unwrap();
    }),
    fault("db_not_writable", "fail", ForPeople, |sound| {
        let data = sound.path("strfry/strfry-db/data.mdb");
        match rustix::process::geteuid().is_root() {
            true => std::os::unix::fs::chown(data, Some(65_534), None).unwrap(),
            false => set_mode(&data, 0o444),
        }
    }),
    fault("own_file_not_writable", "fail", Command, |sound| {
        fs::create_dir(sound.path("strfry/constellation-backfill.log")).unwrap();
    }),
    fault("list_unreadable", "fail", Command, |sound| {
        fs::remove_file(sound.path("strfry/blacklist.txt")).unwrap();
        fs::create_dir(sound.path("strfry/blacklist.txt")).unwrap();
    }),
    fault("list_faulty", "warn", Command, |sound| {
        let list = sound.station.read("strfry/amisOfAmis.txt");
        let faulty = format!("# known\n\n[2026-01-01] [INFO] Connected\n{list}0123456789abcdef\n");
        sound.station.write("strfry/amisOfAmis.txt", faulty);
    }),
    fault("list_faulty", "warn", ForPeople, |sound| {
        sound
            .station
            .write("game/nostr/bob@example.com/HEX", "bob\n");
    }),
    fault("blacklist_unusual", "warn", ForPeople, |sound| {
        let key = "5a".repeat(32);
        sound
            .station
            .write("strfry/blacklist.txt", format!("{key} spam\n"));
    }),
    fault("nobody_followed", "warn", ForPeople, |sound| {
        sound.station.friends(&[]);
        fs::remove_dir_all(sound.path("game/nostr")).unwrap();
    }),
    fault("plugin_unset", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"\" # \""));
    }),
    fault("plugin_other", "warn", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"/bin/cat "));
    }),
    fault("plugin_not_startable", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"/not"));
    }),
    fault("plugin_no_answer", "fail", ForPeople, |sound| {
        let script = sound.path("strfry/plugin.sh");
        sound.station.write(
            "strfry/plugin.sh",
            "#!/bin/sh\n# constellation-policy\nexec cat\n",
        );
        set_mode(&script, 0o755);
        let plugin = format!("plugin = \"{} ", script.display());
        sound.conf(|conf| conf.replace("plugin = \"", &plugin));
    }),
    fault("filters_not_run", "fail", ForPeople, |sound| {
        let filter = "workspace/NIP-101/relay.writePolicy.plugin/filter/1.sh";
        sound.station.write(filter, "#!/bin/sh\n");
        set_mode(&sound.path(filter), 0o755);
    }),
    fault("strangers_let_in", "fail", ForPeople, |sound| {
        sound.station.write(
            "strfry/constellation-install.json",
            r#"{"version":1,"rule":{"strangers":"filters","filters":null},"changes":[{"change":"lines","path":"/x","lines":"","created":false}]}"#,
        );
    }),
    fault("plugin_not_taken_up", "warn", ForPeople, |sound| {
        sound.serve(Path::new("/bin/cat"));
    }),
    fault("plugin_outdated", "warn", ForPeople, |sound| {
        let program = sound.path("constellation-policy");
        fs::copy("/bin/cat", &program).unwrap();
        sound.serve(&program);
        fs::remove_file(program).unwrap();
    }),
    fault("relay_down", "fail", ForPeople, |sound| {
        let (url, dead) = (sound.own_relay.url(), dead_url());
        let port = |url: &str| format!("port = {}", url.rsplit(':').next().unwrap());
        sound.replace(&port(&url), &port(&dead));
    }),
    fault("relay_not_strfry", "fail", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            nip11: Nip11::Body(r#"{"software":"https://github.com/rnostr/rnostr"}"#.to_owned()),
            ..sound.own_behaviour()
        });
    }),
    fault("relay_not_strfry", "fail", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            nip11: Nip11::Absent,
            ..sound.own_behaviour()
        });
    }),
    fault("dms_kept", "warn", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            restrict_dms: true,
            ..sound.own_behaviour()
        });
    }),
];
