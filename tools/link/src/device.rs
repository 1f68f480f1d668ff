//! What a board can be asked.

use crate::error::LinkError;
use crate::pipeline::{Pipeline, Settings, Traffic};
use crate::port::Port;
use cellstate_app::protocol::{Counts, Named, PIECE, Prediction, Ready, Request, Response, Sample};
use cellstate_app::server::Stack;

/// How far an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the board has.
    pub received: u32,
    /// All of its bytes.
    pub of: u32,
}

/// A board that said hello.
#[derive(Debug)]
pub struct Device<P> {
    pipeline: Pipeline<P>,
    ready: Ready,
}

impl<P: Port> Device<P> {
    /// Says hello; the state on the board stays as it is.
    ///
    /// # Errors
    /// [`LinkError::NoAnswer`], [`LinkError::Version`], or the port's.
    pub fn connect(port: P, settings: Settings) -> Result<Self, LinkError> {
        let (pipeline, ready) = Pipeline::connect(port, settings)?;
        Ok(Self { pipeline, ready })
    }

    /// Says hello again, after [`LinkError::Restarted`] or whenever the board may have another model. Whether commands that were on
    /// their way were executed, the [`counts`](Self::counts) and the state tell.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<(), LinkError> {
        self.ready = self.pipeline.reconnect()?;
        Ok(())
    }

    /// The board, and the model on it.
    pub fn board(&self) -> &Ready {
        &self.ready
    }

    /// What went over the line.
    pub fn traffic(&self) -> Traffic {
        self.pipeline.traffic()
    }

    /// The commands themselves.
    pub fn pipeline(&mut self) -> &mut Pipeline<P> {
        &mut self.pipeline
    }

    /// Steps on a sample of raw sensor counts.
    ///
    /// # Errors
    /// [`LinkError::Refused`] if it does not have one value for each feature, [`LinkError`] else.
    pub fn sample(&mut self, counts: &[i16]) -> Result<Prediction, LinkError> {
        predicted(self.pipeline.ask(&Request::Sample(message(counts)?))?)
    }

    /// The same, and what the board's counter advanced in each layer.
    ///
    /// # Errors
    /// As of [`sample`](Self::sample).
    pub fn profile(&mut self, counts: &[i16]) -> Result<(Prediction, Vec<u32>), LinkError> {
        let prediction = predicted(self.pipeline.ask(&Request::Profile(message(counts)?))?)?;
        Ok((prediction, self.layers()?))
    }

    /// What the board's counter advanced in each layer of the latest step that was profiled.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn layers(&mut self) -> Result<Vec<u32>, LinkError> {
        let mut ticks = Vec::new();
        while ticks.len() < usize::from(self.ready.layers) {
            match self.pipeline.ask(&Request::Layers { first: ticks.len() as u16 })? {
                Response::Layers(more) if !more.is_empty() => ticks.extend(more),
                other => return unexpected(&other),
            }
        }
        Ok(ticks)
    }

    /// Steps on one sample after the other, several of them on their way; `each` gets the predictions in the samples' order, and may
    /// end it by an error. Predictions of samples that were sent before are dropped then.
    ///
    /// # Errors
    /// As of [`sample`](Self::sample), or that of `each`.
    pub fn stream<'s, E: From<LinkError>>(
        &mut self,
        samples: impl IntoIterator<Item = &'s [i16]>,
        mut each: impl FnMut(Prediction) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut take = |pipeline: &mut Pipeline<P>| match pipeline.take()? {
            Response::Refused(reason) => Err(LinkError::Refused(reason).into()),
            answer => each(predicted(answer)?),
        };
        let mut result = Ok(());
        for counts in samples {
            self.pipeline.send(&Request::Sample(message(counts)?))?;
            if self.pipeline.waiting() >= self.pipeline.settings().window {
                result = take(&mut self.pipeline);
            }
            if result.is_err() {
                break;
            }
        }
        while self.pipeline.waiting() > 0 {
            if result.is_ok() {
                result = take(&mut self.pipeline);
            } else {
                self.pipeline.take()?;
            }
        }
        result
    }

    /// Begins a new sequence.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn reset(&mut self) -> Result<(), LinkError> {
        done(&self.pipeline.ask(&Request::Reset)?)
    }

    /// The state as bytes, which this model restores on any core.
    ///
    /// # Errors
    /// [`LinkError::Refused`] if the program has no room for a copy, [`LinkError`] else.
    pub fn save(&mut self) -> Result<Vec<u8>, LinkError> {
        let bytes = match self.pipeline.ask(&Request::Save)? {
            Response::Saved(bytes) => bytes as usize,
            other => return unexpected(&other),
        };
        let mut saved = Vec::new();
        while saved.len() < bytes {
            match self.pipeline.ask(&Request::Read { offset: saved.len() as u32 })? {
                Response::Piece(piece) if !piece.is_empty() => saved.extend(piece),
                other => return unexpected(&other),
            }
        }
        Ok(saved)
    }

    /// Puts a saved state in the place of the board's. Until all of it is there and right, that stays as it is.
    ///
    /// # Errors
    /// [`LinkError::Refused`] if it is damaged or another model's, [`LinkError`] else.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), LinkError> {
        for (offset, bytes) in pieces(saved, 0) {
            self.pipeline.ask(&Request::Load { offset, bytes })?;
        }
        done(&self.pipeline.ask(&Request::Restore)?)
    }

    /// What became of all frames since the board started.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn counts(&mut self) -> Result<Counts, LinkError> {
        match self.pipeline.ask(&Request::Counts)? {
            Response::Counts(counts) => Ok(counts),
            other => unexpected(&other),
        }
    }

    /// How much of its stack the board needed.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn stack(&mut self) -> Result<Stack, LinkError> {
        match self.pipeline.ask(&Request::Stack)? {
            Response::Stack(stack) => Ok(stack),
            other => unexpected(&other),
        }
    }

    /// What an output of a head is called; none if it has no name.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn label(&mut self, head: u8, index: u16) -> Result<Option<String>, LinkError> {
        self.name(Named::Output { head, index })
    }

    /// What a feature of the samples is called; none if it has no name.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn feature(&mut self, index: u16) -> Result<Option<String>, LinkError> {
        self.name(Named::Feature(index))
    }

    fn name(&mut self, named: Named) -> Result<Option<String>, LinkError> {
        match self.pipeline.ask(&Request::Name(named))? {
            Response::Name(name) => Ok(Some(name.as_str().to_owned()).filter(|name| !name.is_empty())),
            other => unexpected(&other),
        }
    }

    /// Sends an update; gives its version, which is active after a [`restart`](Self::restart). `between` is called after each piece,
    /// with the board: to show how far it is, and to go on with samples meanwhile.
    ///
    /// # Errors
    /// [`LinkError::Refused`] says what is wrong with the update; the old model stays. That of `between`.
    pub fn update<E: From<LinkError>>(
        &mut self,
        update: &[u8],
        between: impl FnMut(&mut Self, Progress) -> Result<(), E>,
    ) -> Result<u32, E> {
        let bytes = update.len() as u32;
        received(&self.pipeline.ask(&Request::UpdateBegin { bytes })?)?;
        self.finish(update, 0, between)
    }

    /// Goes on with an update that broke off, from the bytes that the board has.
    ///
    /// # Errors
    /// As of [`update`](Self::update).
    pub fn resume<E: From<LinkError>>(
        &mut self,
        update: &[u8],
        between: impl FnMut(&mut Self, Progress) -> Result<(), E>,
    ) -> Result<u32, E> {
        let from = received(&self.pipeline.ask(&Request::UpdateReceived)?)?;
        self.finish(update, from, between)
    }

    fn finish<E: From<LinkError>>(
        &mut self,
        update: &[u8],
        from: u32,
        mut between: impl FnMut(&mut Self, Progress) -> Result<(), E>,
    ) -> Result<u32, E> {
        let of = update.len() as u32;
        for (offset, bytes) in pieces(update, from) {
            let received = received(&self.pipeline.ask(&Request::UpdateWrite { offset, bytes })?)?;
            between(self, Progress { received, of })?;
        }
        match self.pipeline.ask(&Request::UpdateFinish)? {
            Response::Updated(version) => Ok(version),
            other => Ok(unexpected(&other)?),
        }
    }

    /// Lets the board begin anew, with the model that is active then and its initial state, and says hello.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn restart(&mut self) -> Result<(), LinkError> {
        match self.pipeline.ask(&Request::Restart) {
            // It did, and the answer was lost.
            Ok(Response::Done) | Err(LinkError::Restarted) => self.reconnect(),
            Ok(other) => unexpected(&other),
            Err(e) => Err(e),
        }
    }
}

/// A sample as a message has it.
///
/// # Errors
/// [`LinkError::TooLong`].
pub(crate) fn message(counts: &[i16]) -> Result<Sample, LinkError> {
    Sample::from_slice(counts).map_err(|_| LinkError::TooLong(counts.len()))
}

/// In pieces from `from` on, each with its offset.
pub(crate) fn pieces(bytes: &[u8], from: u32) -> impl Iterator<Item = (u32, heapless::Vec<u8, PIECE>)> {
    let rest = bytes.get(from as usize..).unwrap_or_default();
    (0..).zip(rest.chunks(PIECE)).map(move |(k, piece)| (from + k * PIECE as u32, piece.iter().copied().collect()))
}

fn predicted(answer: Response) -> Result<Prediction, LinkError> {
    match answer {
        Response::Prediction(prediction) => Ok(prediction),
        other => unexpected(&other),
    }
}

fn done(answer: &Response) -> Result<(), LinkError> {
    if *answer == Response::Done { Ok(()) } else { unexpected(answer) }
}

fn received(answer: &Response) -> Result<u32, LinkError> {
    match answer {
        Response::Received(bytes) => Ok(*bytes),
        other => unexpected(other),
    }
}

fn unexpected<T>(answer: &Response) -> Result<T, LinkError> {
    Err(LinkError::Unexpected(format!("{answer:?}")))
}
