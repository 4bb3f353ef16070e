//! The service and the timer. What needs systemd's own tools runs where they are.

use std::fs;
use std::path::{Path, PathBuf};

use constellation_tests::command::{Output, TestCommand};

use super::case::{Case, has, steps};

/// Where units go, and a systemctl that keeps a log.
struct Systemd {
    case: Case,
    units: PathBuf,
    log: PathBuf,
}

impl Systemd {
    fn new() -> Self {
        let case = Case::plain();
        let bin = case.station.home().join("bin");
        let units = case.station.home().join("units");
        let log = case.station.home().join("systemctl.log");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(units.join("timers.target.wants")).unwrap();
        fs::create_dir_all(units.join("multi-user.target.wants")).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> '{0}'\ncd '{1}'\nfor last; do :; done\ncase $last in\n\
             *.timer) wants=timers.target.wants;;\n\
             *) wants=multi-user.target.wants;;\nesac\ncase $1 in\n\
             enable) : > \"$wants/$last\";;\n\
             disable) rm \"$wants/$last\";;\nesac\n",
            log.display(),
            units.display()
        );
        let systemctl = bin.join("systemctl");
        fs::write(&systemctl, script).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        Self { case, units, log }
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        self.run_with(&[command, "--systemd"], more)
    }

    fn run_with(&self, command: &[&str], more: &[&str]) -> Output {
        let bin = self.case.station.home().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        self.case
            .command(command)
            .arg("--unit-dir")
            .arg(&self.units)
            .args(more)
            .env("PATH", path)
            .output()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.units).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).collect()
    }

    fn service(&self) -> PathBuf {
        let files = self.files();
        let is_it = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "service");
        files.iter().find(is_it).unwrap().clone()
    }
}

#[test]
fn the_timer_is_set_up_once_and_taken_away() {
    let systemd = Systemd::new();
    let before = systemd.case.snapshot();
    let dry = systemd.run("install", &["--dry-run"]);
    dry.expect_code(0);
    assert!(systemd.files().is_empty() && !systemd.log.exists());
    let real = systemd.run("install", &[]);
    real.expect_code(0);
    assert_eq!(steps(&dry), steps(&real));
    assert_eq!(systemd.files().len(), 2);
    let called = fs::read_to_string(&systemd.log).unwrap();
    assert!(called.starts_with("daemon-reload\nenable --now constellation-sync@"));
    systemd
        .run("install", &[])
        .expect_code(0)
        .expect_stdout("Nothing is left to do");
    assert_eq!(fs::read_to_string(&systemd.log).unwrap(), called);
    systemd.run("uninstall", &[]).expect_code(0);
    assert!(systemd.files().is_empty());
    assert_eq!(systemd.case.snapshot(), before);
}

#[test]
fn the_service_that_keeps_level_is_set_up_once_and_taken_away() {
    let systemd = Systemd::new();
    let before = systemd.case.snapshot();
    let install = || systemd.run_with(&["install", "--live"], &[]);
    install().expect_code(0);
    let text = fs::read_to_string(systemd.service()).unwrap();
    for line in ["Type=notify", "Restart=always", "WatchdogSec=2min"] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("constellation-sync live --zen "), "{text}");
    assert_eq!(systemd.files().len(), 1);
    let called = fs::read_to_string(&systemd.log).unwrap();
    assert!(called.starts_with("daemon-reload\nenable --now constellation-live@"));
    install()
        .expect_code(0)
        .expect_stdout("Nothing is left to do");
    assert_eq!(fs::read_to_string(&systemd.log).unwrap(), called);
    let uninstalled = systemd.run_with(&["uninstall", "--live"], &[]);
    uninstalled.expect_code(0);
    assert_eq!(systemd.case.snapshot(), before);
}

#[test]
fn a_unit_that_was_edited_is_left_alone() {
    let systemd = Systemd::new();
    systemd.run("install", &[]).expect_code(0);
    let service = systemd.service();
    let text = fs::read_to_string(&service).unwrap() + "# mine\n";
    fs::write(&service, &text).unwrap();
    for command in ["install", "uninstall"] {
        systemd
            .run(command, &[])
            .expect_code(1)
            .expect_stdout("it is left alone; for settings of your own use `systemctl edit`");
        assert_eq!(fs::read_to_string(&service).unwrap(), text);
    }
}

#[test]
fn the_service_runs_the_trigger_as_the_captain_and_minds_strfry_s_limit() {
    let systemd = Systemd::new();
    systemd.run("install", &[]).expect_code(0);
    let text = fs::read_to_string(systemd.service()).unwrap();
    let root = systemd.case.station.root().canonicalize().unwrap();
    for line in [
        format!(
            "ExecStart={} trigger --zen {}",
            systemd.case.station.program("constellation-sync").display(),
            root.display()
        ),
        format!("BindPaths={0}/strfry -{0}/tmp/coucou", root.display()),
        "LimitNOFILE=1000000".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains('%'), "{text}");
}

fn systemd_analyze(arguments: &[&str], unit: &Path) -> Output {
    TestCommand::new("systemd-analyze", unit.parent().unwrap())
        .args(arguments)
        .arg(unit)
        .output()
}

#[test]
fn systemd_analyze_finds_the_package_s_units_sound_and_hard() {
    if !has("systemd-analyze") {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    let case = Case::plain();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sidecar/package");
    let unit = |name: &str| {
        let text = fs::read_to_string(sources.join(name)).unwrap();
        let path = case.station.home().join(name.replace('@', "@ann"));
        // verify looks whether the program is there.
        fs::write(
            &path,
            text.replace("/usr/bin/constellation-sync", "/bin/true"),
        )
        .unwrap();
        path
    };
    let services = ["constellation-sync@.service", "constellation-live@.service"].map(unit);
    for service in &services {
        let security = systemd_analyze(&["security", "--offline=true"], service);
        let overall = security
            .stdout
            .lines()
            .find(|line| line.contains("Overall"));
        let level = overall.and_then(|line| line.rsplit(": ").next()?.split(' ').next());
        let level: f64 = level.unwrap_or("10").parse().unwrap();
        assert!(level <= 1.5, "{security}");
    }
    for unit in services
        .into_iter()
        .chain([unit("constellation-sync@.timer")])
    {
        let verified = systemd_analyze(&["verify", "--man=no"], &unit);
        verified.expect_code(0);
        assert_eq!(verified.stderr, "", "{verified}");
    }
}
