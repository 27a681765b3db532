//! Volumes of a stack: listed, removed, copied to a file, and put back.
//!
//! A copy goes through a helper container that has the volume and is never started: Docker reads and writes the files of such a
//! container itself, so that no image has to be fetched, nothing of ours runs there, and any endpoint will do. The copy is an
//! archive with owners, modes, links and times; extended attributes but `security.capability` are not in it. A volume lies on one
//! node; it is the endpoint's own that is copied.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::mpsc;

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters as query;
use freehold_model::limits;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::digest::{Listing, listing_of};
use crate::images::EMPTY;
use crate::stack::{STACK_LABEL, filter};
use crate::{Docker, SwarmError};

/// Where a helper has the volume.
const AT: &str = "/volume";
/// How helpers are found again.
const HELPER: &str = "freehold.helper";
/// Bytes that are read or sent at once.
const PIECE: usize = 1024 * 1024;

/// A volume, complete enough to be made again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Who keeps it.
    pub driver: String,
    /// What that was told.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A copy of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// What it is a copy of.
    pub volume: Volume,
    /// What is in it.
    pub listing: Listing,
}

impl Volume {
    /// The stack that made it; `None` for one that was there before, or that others made.
    pub fn stack(&self) -> Option<&str> {
        self.labels.get(STACK_LABEL).map(String::as_str)
    }

    /// Refuses a volume that Docker does not empty when it removes it: a directory or a share that it only mounts, or another
    /// driver's affair. A copy would be put over what is there.
    ///
    /// # Errors
    /// [`SwarmError::Elsewhere`].
    pub fn check_can_be_put_back(&self) -> Result<(), SwarmError> {
        let elsewhere = |place: String| Err(SwarmError::Elsewhere { volume: self.name.clone(), place });
        match self.options.get("device") {
            _ if self.driver != "local" => elsewhere(format!("driver `{}`", self.driver)),
            // A new one is empty.
            Some(device) if self.options.get("type").is_none_or(|kind| kind != "tmpfs") => {
                elsewhere(format!("device `{device}`"))
            }
            _ => Ok(()),
        }
    }
}

impl Docker {
    /// The volumes of a stack on this node, in order.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn volumes(&self, stack: &str) -> Result<Vec<Volume>, SwarmError> {
        let filters = Some(filter("label", &format!("{STACK_LABEL}={stack}")));
        let found = self.ask("list volumes", self.client.list_volumes(Some(query::ListVolumesOptions { filters })))?;
        let mut all: Vec<Volume> = found.volumes.unwrap_or_default().into_iter().map(read).collect();
        all.sort();
        Ok(all)
    }

    /// One volume of this node; `None` when it is not there.
    ///
    /// # Errors
    /// Docker cannot be asked.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>, SwarmError> {
        match self.ask(format!("look at the volume `{name}`"), self.client.inspect_volume(name)) {
            Err(error) if error.is_missing() => Ok(None),
            result => result.map(|volume| Some(read(volume))),
        }
    }

    /// Checks that a volume is there: Swarm makes an empty one where it is not.
    ///
    /// # Errors
    /// It is not, or Docker cannot be asked.
    pub fn check_volume(&self, volume: &str) -> Result<(), SwarmError> {
        match self.volume(volume)? {
            Some(_) => Ok(()),
            None => Err(SwarmError::NoVolume { volume: volume.to_owned() }),
        }
    }

    /// Removes a volume with all that is in it; one that is gone is as good.
    ///
    /// # Errors
    /// What Docker refuses: something uses it.
    pub fn remove_volume(&self, name: &str) -> Result<(), SwarmError> {
        let options = None::<query::RemoveVolumeOptions>;
        match self.ask(format!("remove the volume `{name}`"), self.client.remove_volume(name, options)) {
            Err(error) if error.is_missing() => Ok(()),
            result => result,
        }
    }

    /// The bytes that these volumes take, where Docker can tell; `None` where it cannot, or only by counting everything it has.
    pub fn volume_bytes(&self, volumes: &[Volume]) -> Option<u64> {
        if self.client.client_version().minor_version < 42 {
            return None;
        }
        let options = query::DataUsageOptions { _type: Some(vec!["volume".to_owned()]), verbose: true };
        let usage = self.ask("ask for sizes", self.client.df(Some(options))).ok()?;
        let all = serde_json::to_value(usage).ok()?;
        let items = all.get("Volumes").or_else(|| all.pointer("/VolumeUsage/Items"))?.as_array()?.clone();
        let is_meant = |item: &&serde_json::Value| volumes.iter().any(|volume| item["Name"] == volume.name.as_str());
        Some(items.iter().filter(is_meant).filter_map(|item| item["UsageData"]["Size"].as_u64()).sum())
    }

    /// Copies a volume into a file, and compares the file with the volume. Nothing may write to it meanwhile.
    ///
    /// # Errors
    /// It cannot be read or written, or differs.
    pub fn copy_volume(&self, volume: &Volume, file: &Path) -> Result<Copy, SwarmError> {
        let helper = Helper::new(self, &volume.name)?;
        let mut out = fs_err::File::create(file).map_err(SwarmError::file("write", file))?;
        helper.download(&mut |bytes| out.write_all(bytes).map_err(SwarmError::file("write", file)))?;
        out.sync_all().map_err(SwarmError::file("write", file))?;
        let listing = listing_of_file(file)?;
        helper.compare(&volume.name, &listing)?;
        Ok(Copy { volume: volume.clone(), listing })
    }

    /// Puts a copy in the place of what the volume holds, and compares. Nothing may use it meanwhile; done again after a crash it
    /// comes to the same.
    ///
    /// # Errors
    /// The copy is damaged, the volume is used, or it differs afterwards.
    pub fn restore_volume(&self, copy: &Copy, file: &Path) -> Result<(), SwarmError> {
        let name = &copy.volume.name;
        // Before anything is removed.
        copy.check(file)?;
        self.remove_helpers(name)?;
        self.remove_volume(name)?;
        let map = |map: &BTreeMap<String, String>| Some(map.clone().into_iter().collect::<HashMap<_, _>>());
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            driver: Some(copy.volume.driver.clone()),
            driver_opts: map(&copy.volume.options),
            labels: map(&copy.volume.labels),
            ..VolumeCreateRequest::default()
        };
        self.ask(format!("make the volume `{name}`"), self.client.create_volume(request))?;
        let helper = Helper::new(self, name)?;
        helper.upload(file)?;
        helper.compare(name, &copy.listing)
    }
}

impl Copy {
    /// Checks that the file is the one that was made.
    ///
    /// # Errors
    /// It cannot be read, or differs.
    pub fn check(&self, file: &Path) -> Result<(), SwarmError> {
        if listing_of_file(file)? == self.listing {
            return Ok(());
        }
        let reason = format!("`{}` has changed since it was made", file.display());
        Err(SwarmError::Differs { volume: self.volume.name.clone(), reason })
    }
}

impl Docker {
    /// Removes helpers of somebody who was killed: they keep a volume in use. Nobody else has any now, for copies are made under
    /// the lock of their app.
    fn remove_helpers(&self, volume: &str) -> Result<(), SwarmError> {
        let filters = Some(filter("label", &format!("{HELPER}={volume}")));
        let options = query::ListContainersOptions { all: true, filters, ..Default::default() };
        for helper in self.ask("list helpers", self.client.list_containers(Some(options)))? {
            let options = query::RemoveContainerOptions { force: true, ..Default::default() };
            let id = helper.id.unwrap_or_default();
            match self.ask("remove a helper", self.client.remove_container(&id, Some(options))) {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read(volume: bollard::models::Volume) -> Volume {
    Volume {
        name: volume.name,
        driver: volume.driver,
        options: volume.options.into_iter().collect(),
        labels: volume.labels.into_iter().collect(),
    }
}

fn listing_of_file(file: &Path) -> Result<Listing, SwarmError> {
    let open = fs_err::File::open(file).map_err(SwarmError::file("read", file))?;
    listing_of(std::io::BufReader::with_capacity(PIECE, open)).map_err(SwarmError::file("read", file))
}

/// A container that has the volume and is never started; removed when dropped.
struct Helper<'a> {
    docker: &'a Docker,
    id: String,
}

impl<'a> Helper<'a> {
    fn new(docker: &'a Docker, volume: &str) -> Result<Self, SwarmError> {
        docker.make_empty_image()?;
        docker.remove_helpers(volume)?;
        // A bind to a volume that is not there would make one.
        docker.ask(format!("look at the volume `{volume}`"), docker.client.inspect_volume(volume))?;
        let body = ContainerCreateBody {
            image: Some(EMPTY.to_owned()),
            cmd: Some(vec!["never-started".to_owned()]),
            labels: Some(HashMap::from([(HELPER.to_owned(), volume.to_owned())])),
            network_disabled: Some(true),
            host_config: Some(HostConfig { binds: Some(vec![format!("{volume}:{AT}")]), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let create = docker.client.create_container(None::<query::CreateContainerOptions>, body);
        let id = docker.ask(format!("make a helper for the volume `{volume}`"), create)?.id;
        Ok(Self { docker, id })
    }

    fn download(&self, take: &mut dyn FnMut(&[u8]) -> Result<(), SwarmError>) -> Result<(), SwarmError> {
        let options = query::DownloadFromContainerOptions { path: AT.to_owned() };
        let action = || "read a volume".to_owned();
        let whole = async {
            let mut pieces = self.docker.client.download_from_container(&self.id, Some(options));
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|source| SwarmError::Api { action: action(), source: Box::new(source) })?;
                take(&piece)?;
            }
            Ok(())
        };
        let limit = limits::DOCKER_COPY;
        let read = self.docker.wait_for(async { tokio::time::timeout(limit, whole).await });
        read.unwrap_or_else(|_| Err(SwarmError::TooLong { action: action(), seconds: limit.as_secs() }))
    }

    fn upload(&self, file: &Path) -> Result<(), SwarmError> {
        let open = fs_err::File::open(file).map_err(SwarmError::file("read", file))?;
        // What cannot be read ends the archive early, which Docker refuses or the comparison finds.
        let pieces = stream::unfold(open, |mut open| async move {
            let mut piece = vec![0; PIECE];
            let length = open.read(&mut piece).ok().filter(|length| *length > 0)?;
            piece.truncate(length);
            Some((piece.into(), open))
        });
        let options = query::UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
        let upload = self.docker.client.upload_to_container(&self.id, Some(options), bollard::body_stream(pieces));
        self.docker.ask_within(limits::DOCKER_COPY, "write a volume", upload)
    }

    /// Reads the volume once more and compares it with a listing.
    fn compare(&self, volume: &str, expected: &Listing) -> Result<(), SwarmError> {
        let (send, receive) = mpsc::sync_channel::<Vec<u8>>(8);
        let reader = std::thread::spawn(move || listing_of(Pieces { receive, piece: Vec::new(), at: 0 }));
        let done = self.download(&mut |bytes| {
            // Who has stopped reading says why below.
            let _ = send.send(bytes.to_vec());
            Ok(())
        });
        drop(send);
        let found = reader.join().map_err(|_| std::io::Error::other("the reader ended early")).and_then(|found| found);
        done?;
        let found = found.map_err(SwarmError::file("read the archive of", volume))?;
        if found == *expected {
            return Ok(());
        }
        let told = |listing: &Listing| format!("{} entries, {} bytes", listing.entries, listing.bytes);
        let reason = match (told(&found), told(expected)) {
            (found, expected) if found == expected => "its contents, owners or modes are others".to_owned(),
            (found, expected) => format!("{found} in the volume, {expected} in the copy"),
        };
        Err(SwarmError::Differs { volume: volume.to_owned(), reason })
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        let options = query::RemoveContainerOptions { force: true, ..Default::default() };
        let remove = self.docker.client.remove_container(&self.id, Some(options));
        // It was never started and holds nothing; its label tells what it is.
        let _ = self.docker.ask("remove a helper", remove);
    }
}

/// Pieces of another thread, read as one stream.
struct Pieces {
    receive: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.piece.len() {
            match self.receive.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let left = self.piece.get(self.at..).unwrap_or_default();
        let length = left.len().min(into.len());
        into.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_docker_itself_keeps_can_be_put_back() {
        let told = |driver: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (name, labels) = ("a_data".to_owned(), BTreeMap::new());
            let volume = Volume { name, driver: driver.to_owned(), options, labels };
            volume.check_can_be_put_back().map_err(|error| error.to_string()).err()
        };
        let refused = |place: &str| {
            format!("a copy of the volume `a_data` could not be put back: its data lie elsewhere ({place})")
        };
        assert_eq!(told("local", &[]), None);
        assert_eq!(told("local", &[("type", "tmpfs"), ("device", "tmpfs")]), None);
        let bind = [("type", "none"), ("o", "bind"), ("device", "/srv/media")];
        assert_eq!(told("local", &bind), Some(refused("device `/srv/media`")));
        let share = [("type", "nfs"), ("o", "addr=10.0.0.1,rw"), ("device", ":/export")];
        assert_eq!(told("local", &share), Some(refused("device `:/export`")));
        assert_eq!(told("rexray/s3fs", &[]), Some(refused("driver `rexray/s3fs`")));
    }
}
