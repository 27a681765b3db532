//! Images: fetched before a deploy's clock starts, and the empty one that helpers are made of.

use bollard::query_parameters::CreateImageOptions;
use freehold_model::limits;
use futures_util::TryStreamExt as _;

use crate::cli::run;
use crate::{Docker, SwarmError};

/// An image without a file; helper containers are made of it and never started.
pub(crate) const EMPTY: &str = "freehold-empty:1";

/// What became of an image that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRemoval {
    /// It is gone.
    Done,
    /// It was not there.
    Missing,
    /// Something uses it: it stays.
    Used,
}

impl Docker {
    /// Whether this node has an image.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn has_image(&self, image: &str) -> Result<bool, SwarmError> {
        match self.ask(format!("look at the image `{image}`"), self.client.inspect_image(image)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an image came from a registry; one that was made here has no digest that a registry knows.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn is_from_registry(&self, image: &str) -> Result<bool, SwarmError> {
        match self.ask(format!("look at the image `{image}`"), self.client.inspect_image(image)) {
            Ok(found) => Ok(found.repo_digests.is_some_and(|digests| !digests.is_empty())),
            Err(error) if error.is_missing() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Fetches an image to this node when it has none of that name; by the CLI, which knows the logins of registries.
    ///
    /// # Errors
    /// [`SwarmError::Pull`] with what the registry says.
    pub fn pull(&self, image: &str) -> Result<(), SwarmError> {
        if self.has_image(image)? {
            return Ok(());
        }
        let mut words = self.endpoint.options();
        words.extend(["pull", "--quiet", image]);
        run("pull", &words, limits::DOCKER_PULL).map(drop).map_err(|error| match error {
            SwarmError::Cli { words, .. } => SwarmError::Pull { image: image.to_owned(), words },
            other => other,
        })
    }

    /// Removes an image of this node that no container has.
    ///
    /// # Errors
    /// Docker cannot be asked, or fails.
    pub fn remove_image(&self, image: &str) -> Result<ImageRemoval, SwarmError> {
        let options = None::<bollard::query_parameters::RemoveImageOptions>;
        match self.ask(format!("remove the image `{image}`"), self.client.remove_image(image, options, None)) {
            Ok(_) => Ok(ImageRemoval::Done),
            Err(error) if error.is_missing() => Ok(ImageRemoval::Missing),
            Err(error) if error.is_in_use() => Ok(ImageRemoval::Used),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn make_empty_image(&self) -> Result<(), SwarmError> {
        if self.has_image(EMPTY)? {
            return Ok(());
        }
        let (repo, tag) = EMPTY.split_once(':').unwrap_or((EMPTY, "1"));
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            ..Default::default()
        };
        // An archive without an entry is its two closing blocks.
        let body = bollard::body_full(vec![0_u8; 1024].into());
        let import = self.client.create_image(Some(options), Some(body), None).try_for_each(|_| async { Ok(()) });
        self.ask("make an empty image", import)
    }
}
