//! Bucket as a JetStream stream: its names, its facts, and how it is made.

use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessage, StorageType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::connection::{CallFault, ServerConnection};

/// Messages of a key that the bucket keeps: as many as a widget's history has.
const HISTORY: i64 = 20;

/// Key of an operator's decision about the whole bucket.
pub(super) const DECISION: &str = "fleet.decision";

/// Start of the keys of edges.
pub(super) const EDGES: &str = "fleet.edge.";

/// Keys of the fleet itself.
pub(super) const FLEET_KEYS: &str = "fleet.>";

/// Names of a bucket and of what is in it.
#[derive(Clone, Debug)]
pub(super) struct BucketNames {
    pub(super) bucket: String,
    pub(super) stream: String,
    prefix: String,
}

impl BucketNames {
    pub(super) fn of(bucket: &str) -> Self {
        let (stream, prefix) = (format!("KV_{bucket}"), format!("$KV.{bucket}."));
        Self { bucket: bucket.into(), stream, prefix }
    }

    /// The subject of a key, or of all keys that match.
    pub(super) fn subject(&self, key: &str) -> Subject {
        format!("{}{key}", self.prefix).into()
    }

    /// The key of a subject.
    pub(super) fn key<'s>(&self, subject: &'s str) -> Option<&'s str> {
        subject.strip_prefix(&self.prefix)
    }

    /// Where edges are asked.
    pub(super) fn ask(&self) -> String {
        format!("embedgate.{}.ask", self.bucket)
    }

    /// Where edges are asked about anything else than how far they are.
    pub(super) fn peers(&self) -> String {
        format!("embedgate.{}.peers", self.bucket)
    }

    /// Where edges tell each other what nobody answers.
    pub(super) fn words(&self) -> String {
        format!("embedgate.{}.words", self.bucket)
    }

    /// Where edges tell of themselves.
    pub(super) fn report(&self) -> String {
        format!("embedgate.{}.report", self.bucket)
    }
}

/// Facts about a bucket, as its leader tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketFacts {
    /// When it was created, in nanoseconds of Unix time.
    pub(super) created: u64,
    pub(super) last_sequence: u64,
    /// The number of its keys.
    pub(super) keys: u64,
    /// It takes several messages as one.
    pub(super) is_atomic: bool,
}

impl From<&Info> for BucketFacts {
    fn from(info: &Info) -> Self {
        Self {
            created: u64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default(),
            last_sequence: info.state.last_sequence,
            keys: info.state.subjects_count,
            is_atomic: info.config.allow_atomic_publish,
        }
    }
}

/// One message as it is stored.
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) sequence: u64,
    pub(super) written: u64,
    pub(super) payload: Vec<u8>,
}

/// Answer to a call for one message.
#[derive(Deserialize)]
struct MessageAnswer {
    message: RawMessage,
}

/// Calls about a bucket. All are answered by its leader.
impl ServerConnection {
    /// The facts of the bucket; `None`: there is none.
    pub(super) async fn facts(&self, names: &BucketNames) -> Result<Option<BucketFacts>, CallFault> {
        let info = self.call::<Info>(&format!("STREAM.INFO.{}", names.stream), &json!({})).await;
        match info {
            Ok(info) => Ok(Some(BucketFacts::from(&info))),
            Err(fault) if fault.is(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Makes the bucket, with three replicas, or with one where the server is alone.
    pub(super) async fn create(&self, names: &BucketNames) -> Result<BucketFacts, CallFault> {
        let call = format!("STREAM.CREATE.{}", names.stream);
        let mut last = None;
        for replicas in [3, 1] {
            match self.call::<Info>(&call, &config(names, replicas)).await {
                Ok(info) => {
                    tracing::info!(bucket = names.bucket, replicas, "the bucket was made");
                    return Ok(BucketFacts::from(&info));
                }
                // Another edge was faster.
                Err(fault) if fault.is(ErrorCode::STREAM_NAME_EXIST) => {
                    return self.facts(names).await?.ok_or(fault);
                }
                Err(fault) if fault.is(ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED) => last = Some(fault),
                // A server of a cluster may just be away: a bucket with one replica would stay one for good.
                Err(CallFault::Refused { code, description }) => {
                    let description = format!(
                        "the bucket can't be made with {replicas} replicas: {description}; to have fewer, make it with \
                         `nats kv add`"
                    );
                    return Err(CallFault::Refused { code, description });
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(last.unwrap_or(CallFault::NoResponders))
    }

    /// The message of this sequence; `None` where it is gone.
    pub(super) async fn message(
        &self,
        names: &BucketNames,
        sequence: u64,
    ) -> Result<Option<StoredMessage>, CallFault> {
        self.stored(names, &json!({ "seq": sequence })).await
    }

    /// The last message of a key.
    pub(super) async fn last_message(
        &self,
        names: &BucketNames,
        key: &str,
    ) -> Result<Option<StoredMessage>, CallFault> {
        self.stored(names, &json!({ "last_by_subj": names.subject(key).as_str() })).await
    }

    /// The sequence of the last message that there is; 0 where there is none. The stream's own last sequence may be that
    /// of a message that was purged.
    pub(super) async fn last_existing(&self, names: &BucketNames) -> Result<u64, CallFault> {
        Ok(self.last_message(names, ">").await?.map_or(0, |message| message.sequence))
    }

    async fn stored(
        &self,
        names: &BucketNames,
        wanted: &serde_json::Value,
    ) -> Result<Option<StoredMessage>, CallFault> {
        let answer = self.call::<MessageAnswer>(&format!("STREAM.MSG.GET.{}", names.stream), wanted).await;
        match answer {
            Ok(MessageAnswer { message }) => Ok(Some(StoredMessage {
                sequence: message.sequence,
                written: u64::try_from(message.time.unix_timestamp_nanos()).unwrap_or_default(),
                payload: STANDARD.decode(&message.payload).unwrap_or_default(),
            })),
            Err(fault) if fault.is(ErrorCode::NO_MESSAGE_FOUND) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// The stream of a key-value bucket, as NATS's own tools make one.
fn config(names: &BucketNames, num_replicas: usize) -> Config {
    Config {
        name: names.stream.clone(),
        description: Some("Rules of a fleet of embedgate edges".into()),
        subjects: vec![names.subject(">").to_string()],
        max_messages_per_subject: HISTORY,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas,
        duplicate_window: Duration::from_secs(120),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

/// What is to be done about a bucket that doesn't take batches.
pub(super) fn without_batches(names: &BucketNames) -> String {
    let stream = &names.stream;
    format!(
        "the bucket `{}` doesn't take batches: use NATS 2.12 or newer, and turn it on with `nats stream edit {stream} \
         --allow-batch`",
        names.bucket
    )
}
