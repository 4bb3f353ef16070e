//! Stations that reach the internet through a proxy only, and relays that only Tor reaches.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use constellation_tests::author::notes;
use constellation_tests::relay::raw::{RawRelay, hand_on, peek_head, respond_with};
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_logged, expect_stored, follow, paged, recent,
};
use constellation_tests::{Author, ScriptedRelay, station};

/// What a proxy was asked to connect to.
type Asked = Arc<Mutex<Vec<String>>>;

/// An HTTP proxy that connects everybody who shows these credentials to this relay.
fn http_proxy(relay: String, credentials: &'static str) -> (RawRelay, Asked) {
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let proxy = RawRelay::start(move |mut stream| {
        let head = peek_head(&stream)?;
        let mut taken = vec![0; head.len()];
        stream.read_exact(&mut taken)?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        record.lock().unwrap().push(target.to_owned());
        if !head
            .to_ascii_lowercase()
            .contains(&credentials.to_ascii_lowercase())
        {
            return respond_with(stream, "407 Proxy Authentication Required\r\n\r\n");
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        hand_on(stream, &relay)
    });
    (proxy, asked)
}

/// A SOCKS5 proxy (RFC 1928) that connects everybody to this relay.
fn socks_proxy(relay: String) -> (RawRelay, Asked) {
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let proxy = RawRelay::start(move |mut stream| {
        let target = socks_target(&mut stream)?;
        record.lock().unwrap().push(target);
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1])?;
        hand_on(stream, &relay)
    });
    (proxy, asked)
}

fn socks_target(stream: &mut TcpStream) -> Result<String, Box<dyn std::error::Error>> {
    let take = |stream: &mut TcpStream, length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let greeting = take(stream, 2)?;
    take(stream, usize::from(greeting[1]))?;
    stream.write_all(&[5, 0])?;
    let host = match take(stream, 4)?[3] {
        1 => {
            let ip: [u8; 4] = take(stream, 4)?.try_into().unwrap();
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let length = take(stream, 1)?[0];
            String::from_utf8(take(stream, usize::from(length))?)?
        }
        kind => return Err(format!("address type {kind}").into()),
    };
    let port: [u8; 2] = take(stream, 2)?.try_into().unwrap();
    Ok(format!("{host}:{}", u16::from_be_bytes(port)))
}

/// Syncs with a peer at this URL through this proxy. The relay behind the proxy holds 20 events.
fn sync_through(
    url: &str,
    start: impl Fn(String) -> (RawRelay, Asked),
    scheme: &str,
) -> Vec<String> {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 20, recent(), 300);
    let relay = ScriptedRelay::start(&events, paged(500));
    let (proxy, asked) = start(relay.url());
    let station = station!();
    follow(&station, &authors, &[url]);
    let address = proxy.url().replace("ws://", scheme);
    let output = command(&station, &[]).env("ALL_PROXY", &address).output();
    output.expect_code(0);
    expect_stored(&station, &events);
    drop(proxy);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "the document and the WebSocket: {asked:?}");
    asked
}

#[test]
fn a_relay_is_reached_through_an_http_proxy_with_its_credentials() {
    let proxy = |relay| http_proxy(relay, "proxy-authorization: basic YWxpY2U6c2VjcmV0");
    let asked = sync_through("ws://relay.example.org", proxy, "http://alice:secret@");
    assert_eq!(asked[0], "relay.example.org:80");
}

#[test]
fn a_socks_proxy_is_given_the_name_or_the_ip_address_as_its_scheme_says() {
    let asked = sync_through("ws://relay.example.org:7777", socks_proxy, "socks5h://");
    assert_eq!(asked[0], "relay.example.org:7777");
    let asked = sync_through("ws://192.0.2.7:7777", socks_proxy, "socks5://");
    assert_eq!(asked[0], "192.0.2.7:7777");
}

#[test]
fn an_onion_service_is_left_to_the_proxy_and_never_looked_up_without_one() {
    let asked = sync_through("ws://abcdef.onion", socks_proxy, "socks5://");
    assert_eq!(asked[0], "abcdef.onion:80");
    let authors = Author::many(1);
    let station = station!();
    follow(&station, &authors, &["ws://abcdef.onion"]);
    command(&station, &[]).output().expect_code(1);
    expect_logged(
        &station,
        "abcdef.onion can only be reached over Tor: set ALL_PROXY",
    );
    expect_logged(&station, "[onion]");
}

#[test]
fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let authors = Author::many(1);
    let station = station!();
    let (proxy, _) = http_proxy("ws://127.0.0.1:1".to_owned(), "nobody has these");
    follow(&station, &authors, &["ws://relay.example.org"]);
    let address = proxy.url().replace("ws://", "http://alice:secret@");
    let output = command(&station, &[]).env("ALL_PROXY", &address).output();
    output.expect_code(1);
    let name = proxy.url().replace("ws://", "");
    expect_logged(
        &station,
        &format!("the proxy {name} does not connect to relay.example.org"),
    );
    expect_logged(&station, "[proxy]");
    output.expect_not_stderr("secret");
}

#[test]
fn nobody_is_asked_while_a_proxy_is_misspelt() {
    let authors = Author::many(1);
    let relay = ScriptedRelay::start(&[], paged(500));
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let command = command(&station, &[]).env("ALL_PROXY", "socks://alice:secret@127.0.0.1:9050");
    let output = command.output();
    output.expect_code(2);
    assert!(
        output.stderr.contains("ALL_PROXY names no proxy"),
        "{output}"
    );
    output.expect_not_stderr("secret");
    assert_eq!(relay.documents(), 0);
}
