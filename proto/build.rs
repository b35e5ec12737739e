//! Generates the canonical model and the Registry service from `directlink/v1/*.proto`, with protox: nobody
//! needs protoc.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 11] = [
    "directlink/v1/rules.proto",
    "directlink/v1/parts.proto",
    "directlink/v1/matters.proto",
    "directlink/v1/application.proto",
    "directlink/v1/outcome.proto",
    "directlink/v1/office.proto",
    "directlink/v1/query.proto",
    "directlink/v1/feed.proto",
    "directlink/v1/books.proto",
    "directlink/v1/exchange.proto",
    "directlink/v1/registry.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=directlink");
    // Kept as bytes: protox writes the options the generated types do not know (our rules), prost would drop them.
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(".google.protobuf.Timestamp", "::prost_types::Timestamp")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
