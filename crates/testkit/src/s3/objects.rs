//! The store behind the S3 server: buckets of objects in memory, and the operations that clients of ours use.
//!
//! Conditions are compared and applied under one lock, so that of two writers with the same condition one wins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// Everything that is stored.
pub(super) struct Store {
    pub(super) buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    pub(super) honours_conditions: bool,
    uploads: BTreeMap<String, Upload>,
    next_upload: u64,
}

/// One object.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) body: Bytes,
    tag: String,
    content_type: Option<ContentType>,
    metadata: Option<Metadata>,
    modified: SystemTime,
}

struct Upload {
    bucket: String,
    key: String,
    content_type: Option<ContentType>,
    metadata: Option<Metadata>,
    parts: BTreeMap<i32, Bytes>,
}

/// What a write asks for before it happens.
#[derive(Default)]
struct Asked {
    matching: Option<IfMatch>,
    none_matching: Option<IfNoneMatch>,
}

/// The S3 operations on a shared store.
pub(super) struct Objects {
    store: Arc<Mutex<Store>>,
}

impl Default for Store {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), honours_conditions: true, uploads: BTreeMap::new(), next_upload: 1 }
    }
}

impl Stored {
    pub(super) fn new(body: Bytes) -> Self {
        let tag = hex(&Md5::digest(&body));
        Self { body, tag, content_type: None, metadata: None, modified: SystemTime::now() }
    }

    fn e_tag(&self) -> ETag {
        ETag::Strong(self.tag.clone())
    }

    fn size(&self) -> i64 {
        i64::try_from(self.body.len()).unwrap_or(i64::MAX)
    }
}

impl Store {
    fn bucket(&self, name: &str) -> S3Result<&BTreeMap<String, Stored>> {
        self.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket))
    }

    fn object(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        self.bucket(bucket)?.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }

    fn allow(&self, bucket: &str, key: &str, asked: &Asked) -> S3Result<()> {
        let present = self.bucket(bucket)?.get(key);
        if !self.honours_conditions {
            return Ok(());
        }
        let fits = |condition: &ETagCondition, object: &Stored| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.value() == object.tag,
        };
        match (&asked.matching, present) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(object)) if !fits(condition, object) => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        match (&asked.none_matching, present) {
            (Some(condition), Some(object)) if fits(condition, object) => Err(s3_error!(PreconditionFailed)),
            _ => Ok(()),
        }
    }

    fn write(&mut self, bucket: &str, key: String, stored: Stored, asked: &Asked) -> S3Result<ETag> {
        self.allow(bucket, &key, asked)?;
        let tag = stored.e_tag();
        if let Some(objects) = self.buckets.get_mut(bucket) {
            objects.insert(key, stored);
        }
        Ok(tag)
    }

    fn upload(&mut self, id: &str, bucket: &str, key: &str) -> S3Result<&mut Upload> {
        self.uploads
            .get_mut(id)
            .filter(|upload| upload.bucket == bucket && upload.key == key)
            .ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

impl Objects {
    pub(super) fn new(store: Arc<Mutex<Store>>) -> Self {
        Self { store }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let mut store = self.lock();
        if store.buckets.contains_key(&req.input.bucket) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        store.buckets.insert(req.input.bucket.clone(), BTreeMap::new());
        let location = Some(format!("/{}", req.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.lock().bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let mut store = self.lock();
        if !store.bucket(&req.input.bucket)?.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        store.buckets.remove(&req.input.bucket);
        Ok(S3Response::with_status(DeleteBucketOutput::default(), hyper::StatusCode::NO_CONTENT))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let mut stored = Stored::new(collect(input.body).await?);
        stored.content_type = input.content_type;
        stored.metadata = input.metadata;
        let asked = Asked { matching: input.if_match, none_matching: input.if_none_match };
        let tag = self.lock().write(&input.bucket, input.key, stored, &asked)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(tag), ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let stored = self.lock().object(&input.bucket, &input.key)?;
        check_read(&stored, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let full = stored.body.len();
        let (body, content_range) = match input.range {
            None => (stored.body.clone(), None),
            Some(range) => {
                let part = range.check(full as u64)?;
                let part = usize::try_from(part.start).unwrap_or(full)..usize::try_from(part.end).unwrap_or(full);
                let text = format!("bytes {}-{}/{full}", part.start, part.end.saturating_sub(1));
                (stored.body.slice(part), Some(text))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: i64::try_from(body.len()).ok(),
            body: Some(StreamingBlob::from(s3s::Body::from(body))),
            content_range,
            content_type: stored.content_type.clone(),
            e_tag: Some(stored.e_tag()),
            last_modified: Some(stored.modified.into()),
            metadata: stored.metadata,
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self.lock().object(&req.input.bucket, &req.input.key)?;
        check_read(&stored, req.input.if_match.as_ref(), req.input.if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.size()),
            content_type: stored.content_type.clone(),
            e_tag: Some(stored.e_tag()),
            last_modified: Some(stored.modified.into()),
            metadata: stored.metadata,
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let mut store = self.lock();
        store.allow(&input.bucket, &input.key, &Asked { matching: input.if_match, none_matching: None })?;
        if let Some(objects) = store.buckets.get_mut(&input.bucket) {
            objects.remove(&input.key);
        }
        Ok(S3Response::with_status(DeleteObjectOutput::default(), hyper::StatusCode::NO_CONTENT))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let store = self.lock();
        let objects = store.bucket(&input.bucket)?;
        Ok(S3Response::new(list(objects, input)))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let mut store = self.lock();
        store.bucket(&input.bucket)?;
        let id = format!("upload-{}", store.next_upload);
        store.next_upload += 1;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            content_type: input.content_type,
            metadata: input.metadata,
            parts: BTreeMap::new(),
        };
        store.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        let body = collect(input.body).await?;
        let tag = Stored::new(body.clone()).e_tag();
        self.lock().upload(&input.upload_id, &input.bucket, &input.key)?.parts.insert(input.part_number, body);
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(tag), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let mut store = self.lock();
        let upload = store.upload(&input.upload_id, &input.bucket, &input.key)?;
        let mut body = BytesMut::new();
        let listed = input.multipart_upload.and_then(|parts| parts.parts).unwrap_or_default();
        for part in &listed {
            let number = part.part_number.unwrap_or_default();
            body.extend_from_slice(upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?);
        }
        let mut stored = Stored::new(body.freeze());
        stored.tag = format!("{}-{}", stored.tag, listed.len());
        stored.content_type.clone_from(&upload.content_type);
        stored.metadata.clone_from(&upload.metadata);
        let asked = Asked { matching: input.if_match, none_matching: input.if_none_match };
        let tag = store.write(&input.bucket, input.key.clone(), stored, &asked)?;
        store.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(tag),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut store = self.lock();
        store.upload(&req.input.upload_id, &req.input.bucket, &req.input.key)?;
        store.uploads.remove(&req.input.upload_id);
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), hyper::StatusCode::NO_CONTENT))
    }
}

fn list(objects: &BTreeMap<String, Stored>, input: ListObjectsV2Input) -> ListObjectsV2Output {
    let prefix = input.prefix.clone().unwrap_or_default();
    let limit = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(1000).min(1000);
    // The token is the last key or common prefix that was listed.
    let after = input.continuation_token.clone().or_else(|| input.start_after.clone()).unwrap_or_default();
    let mut contents = Vec::new();
    let mut common: Vec<String> = Vec::new();
    let mut last = None;
    let mut truncated = false;
    for (key, object) in objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let folder =
            delimiter.and_then(|text| key[prefix.len()..].find(text).map(|at| &key[..prefix.len() + at + text.len()]));
        let name = folder.unwrap_or(key);
        if (!after.is_empty() && name <= after.as_str()) || common.last().is_some_and(|known| known == name) {
            continue;
        }
        if contents.len() + common.len() == limit {
            truncated = true;
            break;
        }
        last = Some(name.to_owned());
        match folder {
            Some(folder) => common.push(folder.to_owned()),
            None => contents.push(Object {
                key: Some(key.clone()),
                size: Some(object.size()),
                e_tag: Some(object.e_tag()),
                last_modified: Some(object.modified.into()),
                ..Default::default()
            }),
        }
    }
    ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix,
        delimiter: input.delimiter,
        max_keys: i32::try_from(limit).ok(),
        key_count: i32::try_from(contents.len() + common.len()).ok(),
        is_truncated: Some(truncated),
        next_continuation_token: last.filter(|_| truncated),
        continuation_token: input.continuation_token,
        contents: Some(contents),
        common_prefixes: Some(common.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect()),
        ..Default::default()
    }
}

fn check_read(stored: &Stored, matching: Option<&IfMatch>, none_matching: Option<&IfNoneMatch>) -> S3Result<()> {
    let same = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == stored.tag,
    };
    if matching.is_some_and(|condition| !same(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if none_matching.is_some_and(same) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    let Some(mut body) = body else {
        return Ok(bytes.freeze());
    };
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| s3s::S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
