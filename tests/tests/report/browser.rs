//! The page in a browser: it is shown as it should be, and nothing in it runs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use constellation_tests::Author;
use constellation_tests::author::now;

use crate::case::{PAGE, refusing, sync, with_peer};

/// Chromium, where it is installed.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// Opens a file and returns what stands on stdout.
fn browse(chromium: &Path, args: &[&str], file: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}", file.display()))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Width and height of a PNG.
fn size(png: &Path) -> (u32, u32) {
    let bytes = fs::read(png).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n"), "{}", png.display());
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn a_hostile_name_runs_nothing() {
    let Some(chromium) = chromium() else {
        println!("chromium is not there: the page was not looked at in a browser");
        return;
    };
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}", elsewhere.local_addr().unwrap());
    let hostile = [
        "<script>document.title='owned'</script>".to_owned(),
        "\"><img src=x onerror=\"document.title='owned'\">".to_owned(),
        format!("</title></style><img src={url}><link rel=stylesheet href={url}>"),
        "<svg onload=document.title='owned'>\u{202e}gnp.exe\u{2066}".to_owned(),
        "\u{202e}".to_owned() + &"W".repeat(30_000),
    ];
    let (station, relay) = with_peer("Bob");
    let mut others = Vec::new();
    for (number, name) in (10..).zip(&hostile) {
        let author = Author::new(number);
        let content = serde_json::json!({ "name": name }).to_string();
        relay.add(&[author.sign(0, now() - 60, &[], &content)]);
        station.member(&format!("{number}@example.org"), author.pubkey());
        let other = refusing(&format!("blocked: {name}"));
        station.peer(&format!("12D3KooHostile{number}"), &other.url());
        others.push(other);
    }
    sync(&station).output().expect_code(1);
    let page = station.root().join(PAGE);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.len() < 100_000 && !text.contains(['\u{202e}', '\u{2066}']));
    assert!(text.matches("owned").count() >= 6, "the names stand there");
    let dom = browse(&chromium, &["--dump-dom"], &page);
    assert!(dom.contains("1 of 6 peers is synced</title>"), "{dom}");
    for tag in ["<script", "<img", "<link", "<svg onload", "owned</title>"] {
        // The names themselves stand there as text, with `&lt;`.
        assert!(!dom.contains(tag), "{tag}\n{dom}");
    }
    let nobody = elsewhere.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "something was fetched"
    );

    // So does this browser show that scripts do run, and images are fetched, where they may.
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let script = &hostile[0];
    fs::write(&page, format!("<title>x</title>{script}<img src={url}>")).unwrap();
    assert!(browse(&chromium, &["--dump-dom", "--timeout=2000"], &page).contains("owned</title>"));
    elsewhere.accept().unwrap();
}

#[test]
fn it_is_drawn_light_and_dark_and_narrow() {
    let Some(chromium) = chromium() else {
        println!("chromium is not there: the page was not looked at in a browser");
        return;
    };
    let (station, _relay) = with_peer("Bob");
    sync(&station).output().expect_code(0);
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let draw = |name: &str, width: u32, scheme: &str| {
        let path = shots.join(format!("report-{name}.png"));
        let _ = fs::remove_file(&path);
        let screenshot = format!("--screenshot={}", path.display());
        let window = format!("--window-size={width},1600");
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        browse(
            &chromium,
            &[&screenshot, &window, &scheme],
            &station.root().join(PAGE),
        );
        println!("{}", path.display());
        path
    };
    let (light, dark) = (draw("light", 1280, "1"), draw("dark", 1280, "0"));
    let narrow = draw("narrow", 500, "1");
    assert_eq!((size(&light), size(&dark)), ((1280, 1600), (1280, 1600)));
    assert_eq!(size(&narrow), (500, 1600));
    assert_ne!(fs::read(light).unwrap(), fs::read(dark).unwrap());
}
