//! Peers that cannot be reached, or lie about what they are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use constellation_tests::relay::raw::{peek_head, pour, reset, respond_with};
use constellation_tests::relay::tls::TlsFront;
use constellation_tests::relay::{Nip11, Nip77, dead_url};
use constellation_tests::sync_program::recent;
use constellation_tests::{Behaviour, RawRelay, ScriptedRelay};
use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, connect, getsockname, listen};

use crate::row::{AUTHORS, Fault, all_hold};
use crate::rows;

#[test]
fn peers_that_cannot_be_reached_harm_nobody() {
    all_hold(rows![
        a_name_that_nobody_has,
        a_port_that_is_closed,
        a_syn_that_is_never_answered,
        a_port_that_never_says_anything,
        a_port_of_another_protocol,
        a_header_without_end,
        a_handshake_of_one_byte_a_second,
        an_http_redirect,
        an_http_page_in_place_of_a_websocket,
        a_handshake_with_the_wrong_key,
        a_certificate_that_has_expired,
        a_certificate_for_another_host,
        a_certificate_that_nobody_signed,
        clear_text_behind_wss,
        a_tls_handshake_that_hangs,
        nip_11_that_lies_high,
        nip_11_that_lies_low,
        nip_11_that_promises_reconciliation,
        nip_11_that_hangs,
        nip_11_of_1_gb,
        nip_11_of_1_gb_in_chunks,
        nip_11_that_redirects,
        nip_11_that_is_not_json,
        nip_11_nested_100_000_deep,
        reset_when_accepted,
        reset_in_nip_11,
        reset_in_the_handshake,
        reset_after_the_question,
        reset_in_the_middle_of_an_event,
        reset_before_eose,
        closed_in_the_middle_of_an_event,
    ]);
}

fn a_name_that_nobody_has() -> Fault {
    Fault::at("ws://relay.invalid").fails("after 3 attempts: ws://relay.invalid: cannot connect")
}

fn a_port_that_is_closed() -> Fault {
    Fault::at(dead_url())
        .fails("after 3 attempts: ws://127.0.0.1:")
        .says("cannot connect to 127.0.0.1:")
}

/// A listener that takes nobody and whose queue is full: the kernel drops what comes.
fn a_syn_that_is_never_answered() -> Fault {
    let socket = || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let listener = socket();
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&listener, 0).unwrap();
    let address = SocketAddrV4::try_from(getsockname(&listener).unwrap()).unwrap();
    let mut kept: Vec<OwnedFd> = vec![listener];
    for _ in 0..4 {
        let filler = socket();
        rustix::io::ioctl_fionbio(&filler, true).unwrap();
        // In progress, or in the queue.
        let _ = connect(&filler, &address);
        kept.push(filler);
    }
    let port = address.port();
    Fault::at(format!("ws://127.0.0.1:{port}"))
        .with(kept)
        .fails(format!("no connection to 127.0.0.1:{port} within 1 s"))
}

fn a_port_that_never_says_anything() -> Fault {
    Fault::of(RawRelay::start(|mut stream| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    }))
    .fails("no connection to 127.0.0.1:")
}

fn a_port_of_another_protocol() -> Fault {
    Fault::of(RawRelay::start(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    }))
    .fails("no WebSocket at 127.0.0.1:")
}

fn a_header_without_end() -> Fault {
    Fault::of(RawRelay::start(|mut stream| {
        peek_head(&stream)?;
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n")?;
        loop {
            stream.write_all(b"X-More: and more of it, without an end\r\n")?;
        }
    }))
    .fails("no WebSocket at 127.0.0.1:")
}

fn a_handshake_of_one_byte_a_second() -> Fault {
    Fault::of(RawRelay::start(|mut stream| {
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" {
            stream.write_all(&[*byte])?;
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }))
    .fails("no connection to 127.0.0.1:")
    .says("within 1 s")
}

fn an_http_redirect() -> Fault {
    Fault::of(RawRelay::start(|stream| {
        let away =
            "301 Moved Permanently\r\nLocation: ftp://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        peek_head(&stream)?;
        respond_with(stream, away)
    }))
    .fails("after 1 attempt: ws://127.0.0.1:")
    .says("leads elsewhere, to no relay that could be asked instead")
}

fn an_http_page_in_place_of_a_websocket() -> Fault {
    Fault::of(RawRelay::start(|stream| {
        peek_head(&stream)?;
        respond_with(stream, "200 OK\r\nContent-Length: 5\r\n\r\nhello")
    }))
    .fails("no WebSocket at 127.0.0.1:")
    .says("HTTP error: 200 OK")
}

fn a_handshake_with_the_wrong_key() -> Fault {
    Fault::of(RawRelay::start(|stream| {
        peek_head(&stream)?;
        respond_with(
            stream,
            "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
    }))
    .fails("no WebSocket at 127.0.0.1:")
}

/// A peer behind TLS that only its own certificate keeps away.
fn secure(front: &TlsFront, name: &str) -> Fault {
    let certificate = front.certificate.clone();
    Fault::at(front.url(name))
        .prepared(move |station| station.write("ca.pem", certificate))
        .args(&["--ca-file", ".zen/ca.pem"])
}

fn behind_tls() -> ScriptedRelay {
    let kept_away = AUTHORS[0].note(recent() - 5, "kept away");
    ScriptedRelay::start(&[kept_away], Behaviour::default())
}

fn a_certificate_that_has_expired() -> Fault {
    let relay = behind_tls();
    let front = TlsFront::start_expired("localhost", &relay.url());
    secure(&front, "localhost")
        .with(relay)
        .fails("invalid peer certificate: certificate expired")
}

fn a_certificate_for_another_host() -> Fault {
    let relay = behind_tls();
    let front = TlsFront::start("relay.example.org", &relay.url());
    secure(&front, "localhost")
        .with(relay)
        .fails("invalid peer certificate: certificate not valid for name \"localhost\"")
}

fn a_certificate_that_nobody_signed() -> Fault {
    let relay = behind_tls();
    let front = TlsFront::start("localhost", &relay.url());
    Fault::at(front.url("localhost"))
        .with(relay)
        .fails("invalid peer certificate: UnknownIssuer")
}

fn clear_text_behind_wss() -> Fault {
    let relay = RawRelay::start(|stream| {
        stream.peek(&mut [0])?;
        respond_with(stream, "400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    });
    Fault::at(relay.url().replace("ws://", "wss://"))
        .with(relay)
        .fails("no TLS with 127.0.0.1:")
}

fn a_tls_handshake_that_hangs() -> Fault {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    Fault::at(format!("wss://localhost:{port}"))
        .with(listener)
        .fails(format!("no connection to localhost:{port} within 1 s"))
}

/// A relay whose NIP-11 document is this, and whose events must come all the same.
fn telling(nip11: Nip11, nip77: Nip77) -> Fault {
    let held: Vec<_> = (0..40)
        .map(|n| AUTHORS[1].note(recent() - 10 - n, &format!("held {n}")))
        .collect();
    let behaviour = Behaviour {
        nip11,
        nip77,
        max_limit: 20,
        ..Behaviour::default()
    };
    Fault::scripted(ScriptedRelay::start(&held, behaviour)).brings(&held)
}

fn told(body: &str) -> Nip11 {
    Nip11::Body(body.to_owned())
}

fn nip_11_that_lies_high() -> Fault {
    let lie = r#"{"limitation":{"max_limit":18446744073709551615,"max_message_length":18446744073709551615,"max_subscriptions":18446744073709551615}}"#;
    telling(told(lie), Nip77::Absent)
}

fn nip_11_that_lies_low() -> Fault {
    let lie = r#"{"limitation":{"max_limit":1,"max_message_length":1,"max_subscriptions":1,"x":-1e400},"supported_nips":"all"}"#;
    telling(told(&lie.replace("-1e400", "-1")), Nip77::Absent)
}

fn nip_11_that_promises_reconciliation() -> Fault {
    telling(told(r#"{"supported_nips":[77]}"#), Nip77::NeverAnswers)
        .says("it says that it reconciles, and does not go on")
}

fn nip_11_that_hangs() -> Fault {
    telling(Nip11::Hang, Nip77::Absent).says("no NIP-11 document within 1 s")
}

fn nip_11_that_is_not_json() -> Fault {
    telling(told("<html>"), Nip77::Absent).says("the NIP-11 document is not JSON")
}

fn nip_11_nested_100_000_deep() -> Fault {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(60_000), "]".repeat(60_000));
    telling(told(&deep), Nip77::Absent).says("the NIP-11 document is not JSON")
}

/// A peer without events whose NIP-11 document is sent by this.
fn documenting(
    document: impl Fn(TcpStream) -> Result<(), Box<dyn std::error::Error>> + Send + Sync + 'static,
) -> Fault {
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    let behind = relay.url().replace("ws://", "");
    let front = RawRelay::start(move |stream| {
        let head = peek_head(&stream)?;
        if head.contains("application/nostr+json") {
            return document(stream);
        }
        let (mut up, mut down) = (TcpStream::connect(&behind)?, stream);
        let (mut from, mut to) = (up.try_clone()?, down.try_clone()?);
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::io::copy(&mut down, &mut up)?;
        Ok(up.shutdown(std::net::Shutdown::Both)?)
    });
    Fault::of(front).with(relay)
}

fn nip_11_of_1_gb() -> Fault {
    documenting(|mut stream| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n[\"",
            1 << 30
        )?;
        pour(&mut stream, b'x', 1 << 30)
    })
    .says("no NIP-11 document")
}

fn nip_11_of_1_gb_in_chunks() -> Fault {
    documenting(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n")?;
        pour(&mut stream, b' ', 1 << 30)
    })
    .says("no NIP-11 document")
}

fn nip_11_that_redirects() -> Fault {
    documenting(|stream| {
        respond_with(
            stream,
            "302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        )
    })
    .says("no NIP-11 document: a redirect leads to nothing")
}

fn reset_when_accepted() -> Fault {
    Fault::of(RawRelay::start(|stream| reset(&stream)))
        .fails("after 3 attempts: ws://127.0.0.1:")
        .says("no WebSocket at 127.0.0.1:")
}

fn reset_in_nip_11() -> Fault {
    documenting(|mut stream| {
        let _ = stream.read(&mut [0; 4096])?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{{\"name\":"
        )?;
        reset(&stream)
    })
    .says("no NIP-11 document")
}

fn reset_in_the_handshake() -> Fault {
    Fault::of(RawRelay::start(|mut stream| {
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 101 Switching Prot")?;
        thread::sleep(Duration::from_millis(20));
        reset(&stream)
    }))
    .fails("no WebSocket at 127.0.0.1:")
}

fn reset_after_the_question() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| talk.reset()))
        .fails("after 3 attempts: ws://127.0.0.1:")
        .says("the connection broke: IO error: Connection reset by peer")
}

fn reset_in_the_middle_of_an_event() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.bytes(&[0x81, 126, 2, 0])?;
        talk.bytes(format!("[\"EVENT\",\"{name}\",{{\"id\":").as_bytes())?;
        thread::sleep(Duration::from_millis(20));
        talk.reset()
    }))
    .fails("the connection broke: IO error: Connection reset by peer")
}

fn reset_before_eose() -> Fault {
    let event = AUTHORS[1].note(recent() - 4, "then it broke");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.event(name, &json)?;
        thread::sleep(Duration::from_millis(50));
        talk.reset()
    }))
    .fails("the connection broke: IO error: Connection reset by peer")
    .brings(&[event])
}

fn closed_in_the_middle_of_an_event() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&[0x81, 126, 2, 0, b'['])?;
        Err("gone".into())
    }))
    .fails("after 3 attempts: ws://127.0.0.1:")
}
