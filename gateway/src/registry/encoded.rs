//! A message that was encoded before it is sent: each try sends the same bytes, and none of them pays for a copy of the
//! message.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use proto::v1::SubmitRequest;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstCodec;

/// Sends bytes as they are, and reads an `Answer` as the generated client does.
pub(super) struct Encoded<Answer>(PhantomData<Answer>);

impl<Answer> Default for Encoded<Answer> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Answer: Message + Default + Send + 'static> Codec for Encoded<Answer> {
    type Encode = Bytes;
    type Decode = Answer;
    type Encoder = AsItIs;
    type Decoder = <ProstCodec<SubmitRequest, Answer> as Codec>::Decoder;

    fn encoder(&mut self) -> AsItIs {
        AsItIs
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<SubmitRequest, Answer>::raw_decoder(BufferSettings::default())
    }
}

/// Writes what is encoded already.
pub(super) struct AsItIs;

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}
