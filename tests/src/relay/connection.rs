//! One WebSocket of a scripted relay.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use constellation_shared::EventId;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::behaviour::{Behaviour, RefusedBy, Takes};
use super::reconcile::Reconciliation;
use super::store::Store;
use super::{Counts, Shared, http, lock};
use crate::filter::Filter;
use crate::record::Record;

/// The connection ends here, without a close frame.
pub(super) struct Gone;

pub(super) struct Connection {
    socket: WebSocketStream<TcpStream>,
    pub(super) behaviour: Arc<Behaviour>,
    pub(super) shared: Arc<Shared>,
    open: HashMap<String, Vec<Filter>>,
    pub(super) reconciliations: HashMap<String, Reconciliation>,
    events_sent: usize,
    requests: usize,
}

pub(super) async fn serve(mut stream: TcpStream, behaviour: Arc<Behaviour>, shared: Arc<Shared>) {
    if behaviour.hang_handshake {
        // The stream stays open until the relay stops.
        std::future::pending::<()>().await;
    }
    let fronted = &shared.counts.fronted;
    let done = match http::asked(&mut stream, &behaviour.front, fronted).await {
        Ok(http::Asked::Front(answer)) => http::answer_raw(stream, &answer).await,
        Ok(http::Asked::Upgrade) => return converse(stream, behaviour, shared).await,
        Ok(http::Asked::Document) => {
            Counts::add(&shared.counts.documents, 1);
            http::answer(stream, &behaviour).await
        }
        Ok(http::Asked::Page) => http::page(stream).await,
        Err(error) => Err(error),
    };
    // Whoever asked has gone: theirs to notice.
    drop(done);
}

async fn converse(stream: TcpStream, behaviour: Arc<Behaviour>, shared: Arc<Shared>) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(behaviour.max_frame))
        .max_frame_size(Some(behaviour.max_frame));
    let accepted = tokio_tungstenite::accept_async_with_config(stream, Some(limits)).await;
    let Ok(socket) = accepted else {
        return;
    };
    Counts::add(&shared.counts.connections, 1);
    let mut connection = Connection {
        socket,
        behaviour,
        shared,
        open: HashMap::new(),
        reconciliations: HashMap::new(),
        events_sent: 0,
        requests: 0,
    };
    // However it ended, the stream is dropped, and with it the connection.
    let _ = connection.run().await;
}

impl Connection {
    async fn run(&mut self) -> Result<(), Gone> {
        for text in self.behaviour.greeting.clone() {
            self.send(text).await?;
        }
        let mut published = self.shared.published.subscribe();
        let mut is_away = self.shared.is_away.subscribe();
        loop {
            self.socket.flush().await.map_err(|_| Gone)?;
            let message = tokio::select! {
                message = self.socket.next() => message,
                Ok(record) = published.recv() => {
                    self.tell(&record).await?;
                    continue;
                }
                // Once away, always away to this connection.
                _ = is_away.changed() => return Err(Gone),
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    Counts::add(&self.shared.counts.bytes_in, text.len());
                    lock(&self.shared.received).push(text.to_string());
                    self.obey(&text).await?;
                }
                Some(Ok(_)) => {}
                // Among these a message longer than we take.
                Some(Err(_)) | None => return Err(Gone),
            }
        }
    }

    /// Tells a new event to the subscriptions that want it.
    async fn tell(&mut self, record: &Record) -> Result<(), Gone> {
        let wants = |filters: &Vec<Filter>| filters.iter().any(|filter| filter.matches(record));
        let open = self.open.iter().filter(|(_, filters)| wants(filters));
        let names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.deliver_one(&name, &record.json).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, text: &str) -> Result<(), Gone> {
        let Ok(Value::Array(message)) = serde_json::from_str(text) else {
            return self.notice("bad msg: unparseable message").await;
        };
        let word = |index: usize| message.get(index).and_then(Value::as_str);
        let (Some(command), Some(name)) = (word(0), word(1)) else {
            return match word(0) {
                Some("EVENT") => self.refuse_event(&message).await,
                _ => self.notice("bad msg: too few array elements").await,
            };
        };
        match command {
            "REQ" => {
                Counts::add(&self.shared.counts.requests, 1);
                self.request(name, message.get(2..).unwrap_or_default())
                    .await
            }
            "CLOSE" => {
                self.open.remove(name);
                Ok(())
            }
            "NEG-OPEN" | "NEG-MSG" | "NEG-CLOSE" => self.reconcile(command, name, &message).await,
            _ => self.notice("bad msg: unknown cmd").await,
        }
    }

    async fn request(&mut self, name: &str, filters: &[Value]) -> Result<(), Gone> {
        if name.is_empty() || filters.is_empty() {
            return self.notice("bad req: arr too small").await;
        }
        if let Some(reason) = self.behaviour.refuse.clone() {
            return self.send(json!(["CLOSED", name, reason]).to_string()).await;
        }
        if self.is_rate_limited() {
            let closed = json!(["CLOSED", name, "rate-limited: slow down"]);
            return self.send(closed.to_string()).await;
        }
        if filters.len() > self.behaviour.max_filters {
            return self.closed(name, "bad req: arr too big").await;
        }
        let filters: Vec<Filter> = match filters.iter().map(Filter::parse).collect() {
            Ok(filters) => filters,
            Err(why) => return self.closed(name, &format!("bad req: {why}")).await,
        };
        if let Some(reason) = self.behaviour.refuse_limit_0
            && filters.iter().any(|filter| filter.limit == 0)
        {
            return self.send(json!(["CLOSED", name, reason]).to_string()).await;
        }
        let is_broad = |filter: &Filter| filter.authors.is_none() && filter.ids.is_none();
        if self.behaviour.refuse_without_authors && filters.iter().any(is_broad) {
            return self.closed(name, "blocked: filter too broad").await;
        }
        if let Some(takes) = self.behaviour.takes.clone()
            && filters.iter().any(|filter| takes.refuses(filter))
        {
            return self.refuse_size(name, &takes).await;
        }
        if self.behaviour.restrict_dms && filters.iter().all(only_dms) {
            self.send(json!(["AUTH", "challenge"]).to_string()).await?;
            let why = "auth-required: requested filter requires authentication";
            return self.closed(name, why).await;
        }
        if !self.open.contains_key(name) && self.open.len() >= self.behaviour.max_subscriptions {
            return self.notice("too many concurrent REQs").await;
        }
        self.open.insert(name.to_owned(), filters.clone());
        let most_open = &self.shared.counts.most_open;
        most_open.fetch_max(self.open.len() as u64, Ordering::SeqCst);
        self.deliver(name, &filters).await?;
        match self.behaviour.never_eose {
            true => Ok(()),
            false => self.send(json!(["EOSE", name]).to_string()).await,
        }
    }

    /// Refuses a REQ that asks for too much.
    async fn refuse_size(&mut self, name: &str, takes: &Takes) -> Result<(), Gone> {
        Counts::add(&self.shared.counts.refused, 1);
        if takes.by == RefusedBy::Closed {
            let closed = json!(["CLOSED", name, takes.words]);
            return self.send(closed.to_string()).await;
        }
        self.send(json!(["NOTICE", takes.words]).to_string())
            .await?;
        if takes.by == RefusedBy::NoticeAndEose {
            self.send(json!(["EOSE", name]).to_string()).await?;
        }
        Ok(())
    }

    /// Whether this request is one too many.
    fn is_rate_limited(&mut self) -> bool {
        self.requests += 1;
        let most = self.behaviour.requests_per_connection;
        let in_all = self.shared.counts.requests.load(Ordering::SeqCst);
        most.is_some_and(|most| self.requests > most)
            || self
                .behaviour
                .requests_in_all
                .is_some_and(|most| in_all > most)
    }

    async fn deliver(&mut self, name: &str, filters: &[Filter]) -> Result<(), Gone> {
        let behaviour = Arc::clone(&self.behaviour);
        let store: Arc<Store> = Arc::clone(&lock(&self.shared.store));
        for json in &behaviour.extra {
            self.deliver_one(name, json).await?;
        }
        let mut sent = HashSet::new();
        for filter in filters {
            let limit = filter.limit.min(behaviour.max_limit);
            for record in store.query(filter, behaviour.until_exclusive, limit) {
                let withheld = behaviour.restrict_dms && record.kind == 4
                    || behaviour
                        .withholds
                        .contains(&EventId::from_bytes(record.id));
                if !withheld && sent.insert(Arc::as_ptr(record).addr()) {
                    self.deliver_one(name, &record.json).await?;
                }
            }
        }
        Ok(())
    }

    async fn deliver_one(&mut self, name: &str, json: &str) -> Result<(), Gone> {
        if self.behaviour.hang_after_events == Some(self.events_sent) {
            self.socket.flush().await.map_err(|_| Gone)?;
            std::future::pending::<()>().await;
        }
        let enough = self.behaviour.close_after_events;
        if enough.is_some_and(|enough| self.events_sent >= enough) {
            let before = self.shared.closed_once.swap(true, Ordering::SeqCst);
            if !(before && self.behaviour.close_once) {
                self.socket.flush().await.map_err(|_| Gone)?;
                return Err(Gone);
            }
        }
        if !self.behaviour.deliver_delay.is_zero() {
            self.socket.flush().await.map_err(|_| Gone)?;
            tokio::time::sleep(self.behaviour.deliver_delay).await;
        }
        self.events_sent += 1;
        Counts::add(&self.shared.counts.events_sent, 1);
        let name = Value::from(name);
        self.send(format!("[\"EVENT\",{name},{json}]")).await
    }

    async fn refuse_event(&mut self, message: &[Value]) -> Result<(), Gone> {
        let id = message.get(1).and_then(|event| event.get("id"));
        let answer = json!(["OK", id, false, "blocked: this relay takes no events"]);
        self.send(answer.to_string()).await
    }

    async fn closed(&mut self, name: &str, why: &str) -> Result<(), Gone> {
        self.send(json!(["CLOSED", name, format!("ERROR: {why}")]).to_string())
            .await
    }

    pub(super) async fn notice(&mut self, why: &str) -> Result<(), Gone> {
        self.send(json!(["NOTICE", format!("ERROR: {why}")]).to_string())
            .await
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Gone> {
        Counts::add(&self.shared.counts.bytes_out, text.len());
        self.socket
            .feed(Message::text(text))
            .await
            .map_err(|_| Gone)
    }
}

pub(super) fn only_dms(filter: &Filter) -> bool {
    filter
        .kinds
        .as_ref()
        .is_some_and(|kinds| kinds.iter().all(|&kind| kind == 4))
}
