//! The words with which relays refuse, by software, with the source of each, and what our client
//! takes them to mean.
//!
//! The sources are files of public repositories at GitHub as they were in November 2026; texts with
//! numbers or names in them stand here with examples. NOTICE, CLOSED and NEG-ERR are told apart
//! nowhere: what matters is what is said. A text that no rule knows is `Unknown`: the question is
//! asked smaller twice, and then the text is quoted in the report.

use constellation_sync::testing::objection::Dimension::{
    Any, Authors, Filters, Ids, Items, Kinds, Limit, Span,
};
use constellation_sync::testing::objection::Objection::{
    self, Never, RateLimited, TooManyOpen, TooMuch, Unknown, WantsAuth,
};
use constellation_sync::testing::objection::classify;

/// A text, the software that says it and where, and its class.
struct Wording {
    text: &'static str,
    source: &'static str,
    class: Objection,
}

const fn wording(text: &'static str, source: &'static str, class: Objection) -> Wording {
    Wording {
        text,
        source,
        class,
    }
}

const WORDINGS: &[Wording] = &[
    // strfry. The prefix `ERROR: ` is in sendNoticeError and sendClosedError (RelayServer.h). Up to
    // 1.0.4 there is no CLOSED: a refused REQ gets a NOTICE and nothing else.
    wording(
        "ERROR: too many concurrent REQs",
        "hoytech/strfry 0.9 to master: RelayReqWorker.cpp, RelayReqMonitor.cpp",
        TooManyOpen,
    ),
    wording(
        "ERROR: too many concurrent NEG requests",
        "hoytech/strfry 0.9.7 to master: RelayNegentropy.cpp",
        TooManyOpen,
    ),
    wording(
        "ERROR: bad req: total filter items too large",
        "hoytech/strfry: filters.h",
        TooMuch(Items),
    ),
    wording(
        "ERROR: bad req: arr too big",
        "hoytech/strfry: RelayIngester.cpp (maxReqFilterSize)",
        TooMuch(Filters),
    ),
    wording(
        "ERROR: bad req: too many tags in filter",
        "hoytech/strfry: filters.h",
        TooMuch(Any),
    ),
    wording(
        "ERROR: bad req: filter validation failed: invalid number of filters: 3",
        "hoytech/strfry master: filters.h (filterValidation)",
        TooMuch(Filters),
    ),
    wording(
        "ERROR: bad req: filter validation failed: too many kinds in filter: 19",
        "hoytech/strfry master: filters.h (filterValidation)",
        TooMuch(Kinds),
    ),
    wording(
        "ERROR: bad req: filter validation failed: kind not allowed: 4",
        "hoytech/strfry master: filters.h (filterValidation)",
        Never,
    ),
    wording(
        "ERROR: bad req: filter validation failed: filter must have exactly one author, p tag, or e tag",
        "hoytech/strfry master: filters.h (filterValidation)",
        TooMuch(Authors),
    ),
    wording(
        "ERROR: bad req: error parsing authors: filter item too small",
        "hoytech/strfry: filters.h",
        Unknown,
    ),
    wording(
        "ERROR: bad req: unrecognised filter item: search",
        "hoytech/strfry: filters.h",
        Never,
    ),
    wording(
        "ERROR: auth-required: requested filter requires authentication",
        "hoytech/strfry 1.1 to master: RelayIngester.cpp",
        WantsAuth,
    ),
    wording(
        "auth-required: requested filter requires authentication",
        "hoytech/strfry master: RelayIngester.cpp (NEG-ERR)",
        WantsAuth,
    ),
    wording(
        "blocked: too many query results",
        "hoytech/strfry: RelayNegentropy.cpp (NEG-ERR, maxSyncEvents)",
        TooMuch(Any),
    ),
    wording(
        "ERROR: bad msg: negentropy disabled",
        "hoytech/strfry: RelayIngester.cpp",
        Never,
    ),
    wording(
        "ERROR: bad msg: unknown cmd",
        "hoytech/strfry: RelayIngester.cpp (an old one, of NEG-OPEN)",
        Never,
    ),
    wording(
        "ERROR: bad msg: unparseable message",
        "hoytech/strfry: RelayIngester.cpp",
        Unknown,
    ),
    wording(
        "ERROR: negentropy error: negentropy query missing elements",
        "hoytech/strfry: RelayIngester.cpp",
        Unknown,
    ),
    wording(
        "PROTOCOL-ERROR",
        "hoytech/strfry: RelayNegentropy.cpp (NEG-ERR)",
        Unknown,
    ),
    wording(
        "closed: unknown subscription handle",
        "hoytech/strfry: RelayNegentropy.cpp (NEG-ERR)",
        Unknown,
    ),
    // nostr-rs-relay refuses with a NOTICE; `limit_scrapers` answers with EOSE alone.
    wording(
        "Subscription error: Maximum concurrent subscription count reached",
        "scsibug/nostr-rs-relay: server.rs, error.rs",
        TooManyOpen,
    ),
    wording(
        "Subscription error: Subscription identifier max length exceeded",
        "scsibug/nostr-rs-relay: server.rs, error.rs",
        Never,
    ),
    wording(
        "could not parse command",
        "scsibug/nostr-rs-relay: server.rs (of NEG-OPEN)",
        Never,
    ),
    wording(
        "message too large (70000 > 65536)",
        "scsibug/nostr-rs-relay: server.rs",
        TooMuch(Any),
    ),
    wording(
        "binary messages are not accepted",
        "scsibug/nostr-rs-relay: server.rs",
        Never,
    ),
    // khatru puts `blocked: ` before what a policy says without a prefix (NormalizeOKMessage).
    wording(
        "blocked: too many things to filter for",
        "fiatjaf/khatru: policies/filters.go",
        TooMuch(Any),
    ),
    wording(
        "blocked: can't handle empty filters",
        "fiatjaf/khatru: policies/filters.go",
        Never,
    ),
    wording(
        "blocked: an author must be specified to get their kind:1 notes",
        "fiatjaf/khatru: policies/filters.go",
        Never,
    ),
    wording(
        "blocked: search is not supported",
        "fiatjaf/khatru: policies/filters.go",
        Never,
    ),
    wording(
        "auth-required: all requests must be authenticated",
        "fiatjaf/khatru: policies/filters.go",
        WantsAuth,
    ),
    wording(
        "restricted: this relay does not serve kind-4 to unauthenticated users, does your client implement NIP-42?",
        "fiatjaf/khatru: policies/nip04.go; fiatjaf/relayer: handlers.go (NOTICE)",
        WantsAuth,
    ),
    wording(
        "restricted: authenticated user does not have authorization for requested filters.",
        "fiatjaf/khatru: policies/nip04.go; fiatjaf/relayer: handlers.go",
        WantsAuth,
    ),
    wording(
        "rate-limited: slow down, please",
        "fiatjaf/khatru: policies/ratelimits.go",
        RateLimited,
    ),
    wording(
        "rate-limited: there is a bug in the client, no one should be making so many requests",
        "fiatjaf/khatru: policies/ratelimits.go",
        RateLimited,
    ),
    wording(
        "CLOSED",
        "fiatjaf/khatru: handlers.go (NEG-ERR of a session that is gone)",
        Unknown,
    ),
    // Databases of khatru and relayer. khatru sends these as NOTICE, and EOSE after it.
    wording(
        "too many ids",
        "fiatjaf/eventstore: postgresql, mysql, sqlite3, dynamodb, edgedb, mongo: query.go",
        TooMuch(Ids),
    ),
    wording(
        "too many authors",
        "fiatjaf/eventstore: query.go",
        TooMuch(Authors),
    ),
    wording(
        "too many kinds",
        "fiatjaf/eventstore: query.go",
        TooMuch(Kinds),
    ),
    wording(
        "too many tag values",
        "fiatjaf/eventstore: query.go",
        TooMuch(Items),
    ),
    // haven, on khatru.
    wording(
        "restricted: you must be whitelisted to query this relay",
        "bitvora/haven: policies.go",
        WantsAuth,
    ),
    wording(
        "restricted: you must be in the web of trust to query this relay",
        "bitvora/haven: policies.go",
        WantsAuth,
    ),
    // nostream refuses with a NOTICE.
    wording(
        "Subscription rejected: Too many subscriptions: Number of subscriptions must be less than or equal to 10",
        "cameri/nostream: subscribe-message-handler.ts",
        TooManyOpen,
    ),
    wording(
        "Subscription rejected: Too many filters: Number of filters per susbscription must be less then or equal to 10",
        "cameri/nostream: subscribe-message-handler.ts",
        TooMuch(Filters),
    ),
    wording(
        "Subscription rejected: Limit too high: Filter limit must be less than or equal to 5000",
        "cameri/nostream: subscribe-message-handler.ts",
        TooMuch(Limit),
    ),
    wording(
        "Subscription rejected: Subscription ID too long: Subscription ID must be less or equal to 8",
        "cameri/nostream: subscribe-message-handler.ts",
        Never,
    ),
    wording(
        "Subscription rejected: Duplicate subscription 1: Ignoring",
        "cameri/nostream: subscribe-message-handler.ts",
        Unknown,
    ),
    wording(
        "auth-required: authentication is required to request these event kinds",
        "cameri/nostream: subscribe-message-handler.ts",
        WantsAuth,
    ),
    wording(
        "rate limited",
        "cameri/nostream: web-socket-adapter.ts",
        RateLimited,
    ),
    wording(
        "rate-limited: slow down",
        "cameri/nostream: event-message-handler.ts",
        RateLimited,
    ),
    // rnostr
    wording(
        "Number of subscriptions exceeds limit",
        "rnostr/rnostr: relay/src/server.rs",
        TooManyOpen,
    ),
    wording(
        "Subscription id should be non-empty string of max length 64 chars",
        "rnostr/rnostr: relay/src/server.rs",
        Never,
    ),
    wording(
        "Something is wrong",
        "rnostr/rnostr: relay/src/server.rs",
        Unknown,
    ),
    wording(
        "get event error: Scan timeout",
        "rnostr/rnostr: relay/src/reader.rs, db/src/error.rs",
        TooMuch(Any),
    ),
    wording(
        "payload reached size limit.",
        "rnostr/rnostr: relay/src/session.rs",
        TooMuch(Any),
    ),
    wording(
        "Unsupported message",
        "rnostr/rnostr: relay/src/server.rs (of NEG-OPEN)",
        Never,
    ),
    wording(
        "auth-required: ip not in whitelist",
        "rnostr/rnostr: extensions/src/auth.rs",
        WantsAuth,
    ),
    // bostr and bostr2, which ask other relays
    wording(
        "rate-limited: too many subscriptions.",
        "Yonle/bostr: worker_bouncer.js",
        TooManyOpen,
    ),
    wording(
        "auth-required: authentication is required to perform this action.",
        "Yonle/bostr: bouncer.js",
        WantsAuth,
    ),
    wording(
        "error: expected filter to be obj, instead gives the otherwise.",
        "Yonle/bostr: bouncer.js",
        Unknown,
    ),
    wording(
        "error: unrecognized command: NEG-OPEN",
        "Yonle/bostr: bouncer.js",
        Never,
    ),
    wording(
        "error: one of your filter on index 0 does not looks right.",
        "Yonle/bostr2: bouncer.go",
        Unknown,
    ),
    wording(
        "error: unknown command NEG-OPEN",
        "Yonle/bostr2: websocket.go",
        Never,
    ),
    wording(
        "",
        "Yonle/bostr: worker_bouncer.js; Yonle/bostr2: bouncer.go; mikedilger/chorus: nostr.rs",
        Unknown,
    ),
    // chorus
    wording(
        "blocked: Negentropy sync is disabled",
        "mikedilger/chorus: nostr.rs (NEG-ERR)",
        Never,
    ),
    wording(
        "blocked: No more than 32 subscriptions are allowed at any one time",
        "mikedilger/chorus: nostr.rs",
        TooManyOpen,
    ),
    wording(
        "invalid: Filter is underspecified. Scrapers are not allowed",
        "mikedilger/chorus: nostr.rs, error.rs",
        Never,
    ),
    wording(
        "error: AUTH required",
        "mikedilger/chorus: nostr.rs, error.rs",
        WantsAuth,
    ),
    wording(
        "error: Restricted",
        "mikedilger/chorus: nostr.rs, error.rs",
        Unknown,
    ),
    wording(
        "error: IP is temporarily blocked",
        "mikedilger/chorus: error.rs",
        RateLimited,
    ),
    wording(
        "Rate limit exceeded.",
        "mikedilger/chorus: lib.rs",
        RateLimited,
    ),
    wording("Command unrecognized", "mikedilger/chorus: nostr.rs", Never),
    wording(
        "Closing due to error(s)",
        "mikedilger/chorus: lib.rs",
        Unknown,
    ),
    wording(
        "error: Empty negentropy message",
        "mikedilger/chorus: nostr.rs (NEG-ERR)",
        Unknown,
    ),
    wording(
        "Version mismatch",
        "mikedilger/chorus: nostr.rs (NEG-ERR)",
        Unknown,
    ),
    // nostpy, primal
    wording(
        "error: shutting down idle subscription",
        "UTXOnly/nostpy-relay: websocket_handler.py (of our CLOSE)",
        Unknown,
    ),
    wording(
        "too many subscriptions",
        "PrimalHQ/primal-server: cache_server_handlers.jl",
        TooManyOpen,
    ),
    wording(
        "kinds or authors filter is not supported",
        "PrimalHQ/primal-server: cache_server_handlers.jl",
        Never,
    ),
    // The examples of NIP-01 and NIP-42, and texts reported from relays whose source is not public.
    wording(
        "unsupported: filter contains unknown elements",
        "nostr-protocol/nips: 01.md",
        Never,
    ),
    wording(
        "error: could not connect to the database",
        "nostr-protocol/nips: 01.md",
        Unknown,
    ),
    wording(
        "error: shutting down idle subscription",
        "nostr-protocol/nips: 01.md",
        Unknown,
    ),
    wording(
        "auth-required: we can't serve DMs to unauthenticated users, does your client implement NIP-42?",
        "nostr-protocol/nips: 42.md",
        WantsAuth,
    ),
    wording(
        "blocked: this query is too big",
        "nostr-protocol/nips: 77.md (NEG-ERR)",
        TooMuch(Any),
    ),
    wording(
        "closed: you took too long to respond!",
        "nostr-protocol/nips: 77.md (NEG-ERR)",
        Unknown,
    ),
    wording("error: too many authors", "reported", TooMuch(Authors)),
    wording("blocked: filter too broad", "reported", TooMuch(Any)),
    wording("error: max time range exceeded", "reported", TooMuch(Span)),
];

#[test]
fn each_wording_has_its_class() {
    let wrong: Vec<String> = WORDINGS
        .iter()
        .filter(|wording| classify(wording.text) != wording.class)
        .map(
            |Wording {
                 text,
                 source,
                 class,
             }| { format!("{text} ({source}): {:?}, not {class:?}", classify(text)) },
        )
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is quoted or cut must not change the class of a text.
#[test]
fn upper_case_and_blanks_make_no_difference() {
    for Wording { text, class, .. } in WORDINGS {
        assert_eq!(classify(&text.to_uppercase()), *class, "{text}");
    }
}
