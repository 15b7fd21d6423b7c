//! Packed bytes of every codec, sound and broken, and what Java's readers make of them.

use super::*;

use flate2::{Compress, FlushCompress};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::io::Write;

fn text() -> Vec<u8> {
    (0..100_000u32).map(|at| (at % 251) as u8 ^ (at >> 10) as u8).collect()
}

#[test]
fn what_is_compressed_comes_back() {
    for codec in Codec::ALL {
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
        for bytes in [&b""[..], b"x", &text()] {
            let packed = compress(codec, bytes);
            assert_eq!(decompress(codec, &packed, bytes.len()).as_deref(), Ok(bytes), "{}", codec.name());
        }
    }
}

#[test]
fn output_stops_at_the_limit() {
    for codec in Codec::ALL {
        let error = DecompressError::TooLarge { codec, limit: 99_999 };
        assert_eq!(decompress(codec, &compress(codec, &text()), 99_999), Err(error));
    }
}

#[test]
fn snappy_is_read_in_both_framings() {
    let raw = b"\x0a\x10hello\x12\x05\x00";
    assert_eq!(decompress(Codec::Snappy, raw, 100).as_deref(), Ok(&b"hellohello"[..]));
    let block = [&[0, 0, 0, raw.len() as u8][..], raw].concat();
    let glued = [&XERIAL_HEADER[..], &block, &block, XERIAL_HEADER, &block].concat();
    assert_eq!(decompress(Codec::Snappy, &glued, 100).as_deref(), Ok(&b"hellohello".repeat(3)[..]));
}

#[test]
fn a_promise_of_gigabytes_is_not_believed() {
    let invalid = Err(DecompressError::Invalid { codec: Codec::Snappy });
    assert_eq!(decompress(Codec::Snappy, b"\xff\xff\xff\xff\x07\x00a", usize::MAX), invalid);
}

#[test]
fn a_cut_stream_is_an_error_and_a_damaged_one_stays_in_bounds() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let sound = compress(codec, &b"some records, some more records".repeat(3));
        for end in 0..sound.len() {
            // Xerial blocks have no end of their own: a cut before a block's length is there is a shorter
            // stream. Nothing at all is no zstd frame, and so no records, which is for the walk to find.
            let short = codec == Codec::Snappy && (16..20).contains(&end) || codec == Codec::Zstd && end == 0;
            let cut = decompress(codec, &sound[..end], 200);
            assert_eq!(cut.is_ok(), short, "{} cut to {end}", codec.name());
        }
        let mut copy = sound.clone();
        for bit in 0..sound.len() * 8 {
            copy[bit / 8] ^= 1 << (bit % 8);
            let _ = decompress(codec, &copy, 200).map(|out| assert!(out.len() <= 200));
            copy[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn an_lz4_frame_as_java_writes_it_is_read() {
    let frame = b"\x04\x22\x4d\x18\x60\x40\x82\x05\x00\x00\x80hello\x00\x00\x00\x00";
    assert_eq!(decompress(Codec::Lz4, frame, 5).as_deref(), Ok(&b"hello"[..]));
}

/// What an unpacker gives of bytes that a client sent, with pieces of this size.
fn admitted(codec: Codec, packed: &[u8], piece_bytes: usize) -> Result<Vec<u8>, DecompressError> {
    let mut unpacker = Unpacker::default();
    // The decoders have seen other records before, which did not end well.
    unpacker.begin(codec, usize::MAX, PIECE_BYTES, Strictness::Admit);
    let _ = unpacker.next(&compress(codec, b"something else")[..12]);
    let _ = unpacker.next(&compress(codec, b"something else")[..12]);
    unpacker.begin(codec, usize::MAX, piece_bytes, Strictness::Admit);
    let mut out = Vec::new();
    while let Some(piece) = unpacker.next(packed)? {
        assert!(piece.len() <= piece_bytes);
        out.extend_from_slice(piece);
    }
    Ok(out)
}

const RECORDS: &[u8] = b"records, records and records";

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A gzip member with every byte of its frame chosen.
fn member(method: u8, flags: u8, optional: &[u8], data: &[u8], sum: u32, bytes: usize) -> Vec<u8> {
    let mut deflate = Compress::new(flate2::Compression::default(), false);
    let mut packed = Vec::with_capacity(200);
    deflate.compress_vec(data, &mut packed, FlushCompress::Finish).unwrap();
    let trailer = cat(&[&sum.to_le_bytes(), &(bytes as u32).to_le_bytes()]);
    cat(&[&[0x1f, 0x8b, method, flags, 0, 0, 0, 0, 0, 0], optional, &packed, &trailer])
}

fn gzip(data: &[u8]) -> Vec<u8> {
    member(8, 0, b"", data, crc32fast::hash(data), data.len())
}

#[test]
fn gzip_is_taken_where_java_reads_it() {
    let sum = crc32fast::hash(RECORDS);
    let flagged = |flags, optional: &[u8]| member(8, flags, optional, RECORDS, sum, RECORDS.len());
    let header_sum = crc32fast::hash(&[0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 0]) as u16;
    let (whole, empty) = (gzip(RECORDS), gzip(b""));
    let halves = cat(&[&gzip(&RECORDS[..9]), &gzip(&RECORDS[9..])]);
    taken(
        Codec::Gzip,
        &[
            ("one member", &whole),
            ("name, comment, extra field", &flagged(4 | 8 | 16, b"\x03\0abcn\0c\0")),
            ("a header sum", &flagged(2, &header_sum.to_le_bytes())),
            ("reserved flags", &flagged(0xe0, b"")),
            ("two members", &halves),
            ("an empty member behind", &cat(&[&whole, &empty])),
            ("an empty member first", &cat(&[&empty, &whole])),
            ("zeros behind", &cat(&[&whole, &[0; 40]])),
            ("other bytes behind", &cat(&[&whole, b"tail of no codec, long enough to be looked at"])),
            ("one byte behind", &cat(&[&whole, b"x"])),
            ("a header behind", &cat(&[&whole, &empty[..10]])),
            ("a member of another method behind", &cat(&[&whole, &member(7, 0, b"", b"", 0, 0)])),
        ],
    );
    refused(
        Codec::Gzip,
        &[
            ("nothing", b""),
            ("a wrong header sum", &flagged(2, b"\x01\x02")),
            ("another method", &member(7, 0, b"", RECORDS, sum, RECORDS.len())),
            ("a wrong sum", &member(8, 0, b"", RECORDS, sum ^ 1, RECORDS.len())),
            ("a wrong size", &member(8, 0, b"", RECORDS, sum, 1)),
            ("a cut trailer", &whole[..whole.len() - 1]),
            ("no trailer", &whole[..whole.len() - 8]),
            ("a cut body", &whole[..20]),
            ("a cut member behind", &cat(&[&whole, &empty[..19]])),
            ("a member of a wrong sum behind", &cat(&[&whole, &member(8, 0, b"", b"", 1, 0)])),
            ("no header", &whole[10..]),
        ],
    );
}

fn xerial(data: &[u8]) -> Vec<u8> {
    let block = snap::raw::Encoder::new().compress_vec(data).unwrap();
    cat(&[&(block.len() as u32).to_be_bytes(), &block])
}

#[test]
fn snappy_is_taken_where_java_reads_it() {
    let raw = snap::raw::Encoder::new().compress_vec(RECORDS).unwrap();
    let header = &XERIAL_HEADER[..];
    let versions = |version: u8, compatible: u8| {
        cat(&[XERIAL_MAGIC, &[0, 0, 0, version, 0, 0, 0, compatible], &xerial(RECORDS)])
    };
    let whole = cat(&[header, &xerial(RECORDS)]);
    let (first, second) = (xerial(&RECORDS[..9]), xerial(&RECORDS[9..]));
    taken(
        Codec::Snappy,
        &[
            ("one raw block", &raw),
            ("blocks", &cat(&[header, &first, &second])),
            ("empty blocks", &cat(&[header, &xerial(b""), &xerial(RECORDS), &xerial(b"")])),
            ("less than a length behind", &cat(&[&whole, b"\0\0\0"])),
            ("a second header", &cat(&[header, &first, header, &second])),
            ("a second header and nothing", &cat(&[&whole, header])),
            ("what begins like a second header", &cat(&[&whole, b"\x82SNAgarbagegarba"])),
            ("version 0", &versions(0, 1)),
            ("version 2", &versions(2, 9)),
        ],
    );
    let mut more = raw.clone();
    more[0] += 1;
    let mut less = raw.clone();
    less[0] -= 1;
    refused(
        Codec::Snappy,
        &[
            ("nothing", b""),
            ("a byte behind a raw block", &cat(&[&raw, b"x"])),
            ("a cut raw block", &raw[..raw.len() - 1]),
            ("a raw block that promises more", &more),
            ("a raw block that promises less", &less),
            ("a block of no bytes", &cat(&[&whole, &[0; 4]])),
            ("a negative length", &cat(&[&whole, &[0xff; 4]])),
            ("a length beyond the end", &cat(&[&whole, b"\0\0\x01\0ab"])),
            ("a second header that is cut", &cat(&[&whole, &header[..9]])),
            ("a second header of version 0", &cat(&[&whole, XERIAL_MAGIC, &[0, 0, 0, 0, 0, 0, 0, 1]])),
            ("a cut header", &header[..12]),
            ("a cut block", &whole[..whole.len() - 1]),
        ],
    );
}

fn lz4_frame(info: FrameInfo, data: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// The frame with other bits in its descriptor, and the right sum over them.
fn described(frame: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame[4..]);
    let end = if frame[4] & 8 == 0 { 6 } else { 14 };
    frame[end] = (twox_hash::XxHash32::oneshot(0, &frame[4..end]) >> 8) as u8;
    frame
}

#[test]
fn lz4_is_taken_where_java_reads_it() {
    let info = || FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let plain = lz4_frame(info(), RECORDS);
    let empty = lz4_frame(info(), b"");
    let with_size = lz4_frame(info().content_size(Some(RECORDS.len() as u64)), RECORDS);
    let with_sum = lz4_frame(info().content_checksum(true), RECORDS);
    let with_block_sums = lz4_frame(info().block_checksums(true), RECORDS);
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";
    let block = |length: u32, data: &[u8]| cat(&[&empty[..7], &length.to_le_bytes(), data, &[0; 4]]);
    let stored = RECORDS.len() as u32 | 1 << 31;
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    let changed_end = |bytes: &[u8], from_end: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        bytes
    };
    taken(
        Codec::Lz4,
        &[
            ("independent blocks", &plain),
            ("4 MiB blocks", &lz4_frame(info().block_size(BlockSize::Max4MB), RECORDS)),
            ("content size", &with_size),
            ("a wrong content size", &described(&with_size, |descriptor| descriptor[2] += 9)),
            ("content sum", &with_sum),
            ("a wrong content sum", &changed_end(&with_sum, 1)),
            ("block sums", &with_block_sums),
            ("a stored block", &block(stored, RECORDS)),
            ("an end mark with the top bit", &cat(&[&cut(&plain, 4), &[0, 0, 0, 0x80]])),
            ("a block of nothing", &cat(&[&empty[..7], b"\x01\0\0\0\0", &plain[7..]])),
            ("bytes behind the frame", &cat(&[&plain, b"tail"])),
            ("a second frame", &cat(&[&plain, &plain])),
            ("a skippable frame behind", &cat(&[&plain, skippable])),
        ],
    );
    let linked = lz4_frame(FrameInfo::new().block_mode(BlockMode::Linked), RECORDS);
    refused(
        Codec::Lz4,
        &[
            ("nothing", b""),
            ("linked blocks", &linked),
            ("a reserved flag", &described(&plain, |descriptor| descriptor[0] |= 2)),
            ("a dictionary", &described(&plain, |descriptor| descriptor[0] |= 1)),
            ("version 0", &described(&plain, |descriptor| descriptor[0] &= 0x3f)),
            ("version 2", &described(&plain, |descriptor| descriptor[0] ^= 0xc0)),
            ("a reserved bit beside the block size", &described(&plain, |descriptor| descriptor[1] |= 1)),
            ("a reserved bit above the block size", &described(&plain, |descriptor| descriptor[1] |= 0x80)),
            ("block size 3", &described(&plain, |descriptor| descriptor[1] = 0x30)),
            ("a wrong descriptor sum", &cat(&[&plain[..6], &[plain[6] ^ 1], &plain[7..]])),
            ("the legacy magic", &cat(&[b"\x02\x21\x4c\x18", &plain[4..]])),
            ("a skippable frame first", &cat(&[skippable, &plain])),
            ("no end mark", &cut(&plain, 4)),
            ("a cut end mark", &cut(&plain, 1)),
            ("no content sum", &cut(&with_sum, 4)),
            ("a cut content sum", &cut(&with_sum, 1)),
            ("a wrong block sum", &changed_end(&with_block_sums, 5)),
            ("a cut block", &cut(&block(stored, RECORDS), 5)),
            ("a block above the frame's size", &block(65_537 | 1 << 31, &[0; 65_537])),
            // Four bytes, then a copy of four from four back, and no literals at the end.
            ("a block that ends with a match", &block(7, b"\x40abcd\x04\0")),
            ("a block with too few literals at its end", &block(12, b"\x40abcd\x04\0\x40wxyz")),
        ],
    );
    assert_eq!(
        decompress(Codec::Lz4, &linked, 1000).as_deref(),
        Ok(RECORDS),
        "an older version has stored it"
    );
}

#[test]
fn zstd_is_taken_where_java_reads_it() {
    let frame = |data: &[u8]| compress(Codec::Zstd, data);
    let summed = {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(RECORDS).unwrap();
        encoder.finish().unwrap()
    };
    let windowed = |log: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(RECORDS).unwrap();
        encoder.flush().unwrap();
        encoder.finish().unwrap()
    };
    let with_dictionary = {
        let mut encoder = zstd::stream::write::Encoder::with_dictionary(Vec::new(), 3, RECORDS).unwrap();
        encoder.write_all(RECORDS).unwrap();
        encoder.finish().unwrap()
    };
    let (whole, empty) = (frame(RECORDS), frame(b""));
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";
    let changed = |bytes: &[u8], at: usize, bits: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= bits;
        bytes
    };
    taken(
        Codec::Zstd,
        &[
            ("one frame", &whole),
            ("a content sum", &summed),
            ("two frames", &cat(&[&frame(&RECORDS[..9]), &frame(&RECORDS[9..])])),
            ("empty frames", &cat(&[&empty, &whole, &empty])),
            ("skippable frames", &cat(&[skippable, &frame(&RECORDS[..9]), skippable, &frame(&RECORDS[9..])])),
            ("a skippable frame behind", &cat(&[&whole, skippable])),
            ("a cut skippable frame behind", &cat(&[&whole, &skippable[..6]])),
            ("a magic behind", &cat(&[&whole, &empty[..4]])),
            ("a cut frame behind", &cat(&[&whole, &empty[..empty.len() - 1]])),
            ("the unused bit", &changed(&whole, 4, 16)),
            ("a window of 128 MiB", &windowed(27)),
        ],
    );
    refused(
        Codec::Zstd,
        &[
            ("a wrong content sum", &changed(&summed, summed.len() - 1, 1)),
            ("a cut content sum", &summed[..summed.len() - 1]),
            ("bytes behind", &cat(&[&whole, b"tail of no codec"])),
            ("one byte behind", &cat(&[&whole, b"x"])),
            ("a cut frame", &whole[..whole.len() - 1]),
            ("the reserved bit", &changed(&whole, 4, 8)),
            ("a window of 256 MiB", &windowed(28)),
            ("a dictionary", &with_dictionary),
            ("no magic", &whole[4..]),
            ("the magic of a draft", &changed(&whole, 0, 0x28 ^ 0x27)),
        ],
    );
}

fn taken(codec: Codec, cases: &[(&str, &[u8])]) {
    for (what, packed) in cases {
        for piece_bytes in [1, 7, PIECE_BYTES] {
            assert_eq!(admitted(codec, packed, piece_bytes).as_deref(), Ok(RECORDS), "{what}");
        }
        assert_eq!(decompress(codec, packed, 1000).as_deref(), Ok(RECORDS), "{what}, when it is read");
    }
}

fn refused(codec: Codec, cases: &[(&str, &[u8])]) {
    for (what, packed) in cases {
        assert_eq!(admitted(codec, packed, PIECE_BYTES), Err(DecompressError::Invalid { codec }), "{what}");
    }
}

#[test]
fn a_cut_zstd_frame_is_refused_where_java_reads_it_apart() {
    // Incompressible, so that the second frame begins beyond what Java reads first.
    let mut random = fastrand::Rng::with_seed(7);
    let data: Vec<u8> = (0..131_050).map(|_| random.u8(..)).collect();
    let (first, second) = (compress(Codec::Zstd, &data), compress(Codec::Zstd, RECORDS));
    let bytes = cat(&[&first, &second[..second.len() - 1]]);
    assert!(first.len() < 131_075 && bytes.len() > 131_075);
    assert!(admitted(Codec::Zstd, &bytes, PIECE_BYTES).is_err());
}

#[test]
fn megabytes_of_zeros_are_given_out_in_pieces_from_the_same_few_bytes() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut packer = Packer::new(codec.into());
        (0..256).for_each(|_| packer.write(&[0; 64 << 10]));
        let packed = packer.finish();
        let mut unpacker = Unpacker::default();
        unpacker.begin(codec, usize::MAX, PIECE_BYTES, Strictness::Admit);
        while let Some(piece) = unpacker.next(&packed).unwrap() {
            assert!(piece.iter().all(|byte| *byte == 0));
        }
        assert_eq!(unpacker.unpacked(), 16 << 20, "{}", codec.name());
        assert!(unpacker.held_bytes() <= 4 << 20, "{} holds {}", codec.name(), unpacker.held_bytes());
    }
}

#[test]
fn a_higher_level_packs_better_and_is_read_by_the_same_readers() {
    let mut random = fastrand::Rng::with_seed(3);
    let words: Vec<String> = (0..500).map(|_| format!("word-{}", random.u32(..))).collect();
    let mut text = Vec::new();
    while text.len() < 300_000 {
        text.extend_from_slice(words[random.usize(..words.len())].as_bytes());
    }
    for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Lz4, 1, 12), (Codec::Zstd, -20, 15)] {
        let packed = |level| compress(Packing { codec, level }, &text);
        let (low, high) = (packed(Some(low)), packed(Some(high)));
        assert!(high.len() < low.len(), "{}: {} and {}", codec.name(), high.len(), low.len());
        assert!(codec != Codec::Lz4 || low.len() < packed(None).len(), "the slow compressor");
        for packed in [low, high, packed(None)] {
            assert!(admitted(codec, &packed, PIECE_BYTES).unwrap() == text, "{}", codec.name());
        }
    }
    let random: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
    let stored = compress(Packing { codec: Codec::Lz4, level: Some(5) }, &random);
    assert!(
        admitted(Codec::Lz4, &stored, PIECE_BYTES).unwrap() == random,
        "what does not get smaller is stored"
    );
}

/// Java and the C library write matches and literals in strides, and refuse a block that leaves no room for
/// the last one.
#[test]
fn a_match_that_reaches_the_end_of_a_full_lz4_block_is_refused() {
    // 20 literals, then a match from one back, then `last` literals: 64 KiB in all.
    let full = |last: usize| {
        let copied = (64 << 10) - 20 - last - 4 - 15;
        let long = |length: usize| [vec![255; length / 255], vec![(length % 255) as u8]].concat();
        let block = cat(&[
            &[0xff, 5],
            &[b'x'; 20],
            &[1, 0],
            &long(copied),
            &[(last as u8) << 4],
            &b"abcdefghijklmn"[..last],
        ]);
        let length = (block.len() as u32).to_le_bytes();
        cat(&[&[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82], &length, &block, &[0; 4]])
    };
    for last in 0..14 {
        let unpacked = admitted(Codec::Lz4, &full(last), PIECE_BYTES);
        assert_eq!(
            unpacked.map(|bytes| bytes.len()).ok(),
            (last >= 5).then_some(64 << 10),
            "{last} literals"
        );
    }
}
