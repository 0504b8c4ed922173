"Speech Commands from small files made here; the features against the formula in NumPy."

import wave

import numpy as np
import pytest
import scipy.fft

from analognas.core import FileFormatError
from analognas.datasets.load import load_dataset
from analognas.datasets.speech import (
    CLASSES,
    RATE,
    WORDS,
    load_kws,
    mfcc,
    one_second,
    read_clip,
    share,
    speaker,
)

RNG = np.random.default_rng(0)


def write(file, samples, rate=RATE, channels=1, width=2):
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as w:
        w.setnchannels(channels), w.setsampwidth(width), w.setframerate(rate)
        w.writeframes(np.asarray(samples, "<i2").tobytes())


def noise(n=RATE):
    return RNG.integers(-3000, 3000, n)


def mfcc_by_the_formula(second):
    """Hann windows of 40 ms every 20 ms; power; 40 triangles of equal area and width on Slaney's
    mel scale; decibels; orthonormal DCT-II."""
    frames = np.lib.stride_tricks.sliding_window_view(second.astype(float), 640)[::320]
    power = (
        np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)))) ** 2
    )
    to_mel = lambda f: np.where(
        f < 1000, 3 * f / 200, 15 + 27 * np.log(np.maximum(f, 1e-9) / 1000) / np.log(6.4)
    )
    to_hz = lambda m: np.where(m < 15, 200 * m / 3, 1000 * np.exp(np.log(6.4) * (m - 15) / 27))
    edges = to_hz(np.linspace(to_mel(np.array(20.0)), to_mel(np.array(4000.0)), 42))
    f = np.fft.rfftfreq(640, 1 / RATE)
    rise, fall = (
        (f - edges[:-2, None]) / np.diff(edges)[:-1, None],
        (edges[2:, None] - f) / np.diff(edges)[1:, None],
    )
    triangles = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    decibel = 10 * np.log10(np.maximum(power @ triangles.T, 1e-10))
    decibel = np.maximum(decibel, decibel.max() - 80)
    return scipy.fft.dct(decibel, type=2, norm="ortho")[:, :10]


def test_features_are_the_formulas():
    t = np.arange(RATE) / RATE
    second = one_second(
        (6000 * np.sin(2 * np.pi * (400 * t + 900 * t**2)) + noise()).astype(np.int16)
    )
    got = mfcc(second)
    assert got.shape == (1, 49, 10)
    assert np.allclose(got[0], mfcc_by_the_formula(second), atol=1e-2)


def test_short_and_long_clips_become_a_second():
    short, long = noise(5000), noise(20000)
    assert (
        np.array_equal(one_second(short)[:5000] * 2**15, short)
        and not one_second(short)[5000:].any()
        and len(one_second(short)) == RATE
    )
    assert np.array_equal(one_second(long) * 2**15, long[:RATE])


def test_what_is_wrong_with_a_clip(tmp_path):
    for options, says in [
        (dict(rate=8000), "8000 samples a second"),
        (dict(channels=2), "2 channels"),
        (dict(width=1), "8 bits"),
    ]:
        write(tmp_path / "a.wav", noise(), **options)
        with pytest.raises(FileFormatError, match=f"a.wav has .*{says}"):
            read_clip(tmp_path / "a.wav")
    write(tmp_path / "a.wav", noise())
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[:20000])
    with pytest.raises(FileFormatError, match="a.wav is truncated: .* of 16000 samples"):
        read_clip(tmp_path / "a.wav")
    for content in (b"", b"RIFF", b"ID3 not a wave file at all"):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(FileFormatError, match="a.wav cannot be read"):
            read_clip(tmp_path / "a.wav")


def speech(root, folders, speakers=16):
    for name in folders:
        for s in range(speakers):
            write(root / name / f"{s:08x}_nohash_0.wav", noise(4000))
    return root


def full_archive(root, speakers=16):
    speech(root, (*WORDS, "bed", "cat", "dog"), speakers)
    write(root / "_background_noise_" / "river.wav", noise(20 * RATE))
    return root


def test_speakers_are_kept_apart_and_every_class_is_there(tmp_path, monkeypatch):
    from analognas.datasets import speech as module

    seen = []
    real = module.mfcc
    monkeypatch.setattr(module, "mfcc", lambda second: seen.append(1) or real(second))
    root = speech(tmp_path / "s", CLASSES)
    data = load_dataset("KWS", root)
    chosen = {f"{s:08x}" for s in range(16) if share(f"{s:08x}") < 0.2}
    assert (
        chosen
        and len(data.x_test) == len(chosen) * 12
        and len(data.x_train) + len(data.x_test) == 16 * 12 == len(seen)
    )
    assert (
        data.y_train.bincount().tolist() == [16 - len(chosen)] * 12
        and "20% of the speakers" in data.source
    )
    load_dataset("KWS", root)
    assert len(seen) == 16 * 12  # the second time from the cache


def test_a_suffix_in_capitals_is_a_clip_too(tmp_path):
    root = speech(tmp_path / "s", CLASSES)
    for clip in (root / "yes").glob("*.wav"):
        clip.rename(clip.with_suffix(".WAV"))
    data = load_dataset("KWS", root)
    assert len(data.x_train) + len(data.x_test) == 16 * 12


def test_the_official_list_decides(tmp_path):
    root = speech(tmp_path / "s", CLASSES)
    (root / "testing_list.txt").write_text("\n".join(f"{c}/{3:08x}_nohash_0.wav" for c in CLASSES))
    data = load_kws(root)
    assert (
        len(data.x_test) == 12
        and data.y_test.tolist() == list(range(12))
        and "testing_list.txt" in data.source
    )


def test_the_full_archive_gets_unknown_words_and_silence(tmp_path):
    data = load_kws(full_archive(tmp_path / "s", 24))
    counts = (data.y_train.bincount(minlength=12) + data.y_test.bincount(minlength=12)).tolist()
    assert counts == [24] * 10 + [
        20,
        24,
    ]  # 20 seconds of noise are all there is; unknown words are thinned out from 72


def test_a_clip_that_cannot_be_read_is_skipped_and_the_rest_keeps_its_labels(tmp_path):
    root = full_archive(tmp_path / "s")
    bad = root / "down" / f"{5:08x}_nohash_0.wav"
    bad.write_bytes(b"RIFF")
    with pytest.raises(FileFormatError, match="00000005_nohash_0.wav"):
        load_kws(root)
    with pytest.warns(UserWarning, match="1 of "):
        data = load_kws(root, "skip")
    counts = (data.y_train.bincount(minlength=12) + data.y_test.bincount(minlength=12)).tolist()
    assert counts == [15] + [16] * 11


def test_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(FileFormatError, match="is not a folder"):
        load_kws(tmp_path / "nowhere")
    root = speech(tmp_path / "s", WORDS[1:])
    with pytest.raises(FileFormatError, match="not Speech Commands: no clips of down"):
        load_kws(root)
    speech(root, ["down"])
    with pytest.raises(FileFormatError, match="no clips of _silence_, _unknown_"):
        load_kws(root)


def test_names():
    from pathlib import Path

    assert (
        speaker(Path("backward_0c540988_nohash_2.wav.wav")) == "0c540988"
        and speaker(Path("1037.wav")) == "1037"
    )
    values = np.array([share(f"{i:08x}") for i in range(4000)])
    assert abs(values.mean() - 0.5) < 0.02 and abs((values < 0.2).mean() - 0.2) < 0.02


def test_what_programs_leave_in_folders_is_ignored_and_a_dangling_link_is_named(tmp_path):
    root = speech(tmp_path / "s", CLASSES)
    whole = load_dataset("KWS", root)
    (root / "yes" / "._x.wav").write_bytes(b"\0\5\x16\7")
    (root / "yes" / ".ipynb_checkpoints").mkdir()
    write(root / "yes" / ".ipynb_checkpoints" / "a_nohash_1.wav", noise())
    same = load_dataset("KWS", root)
    assert len(same.y_train) == len(whole.y_train) and len(same.y_test) == len(whole.y_test)
    (root / "yes" / "g_nohash_0.wav").symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(FileFormatError, match="g_nohash_0"):
        load_dataset("KWS", root)
    with pytest.warns(UserWarning, match="1 of 193 files skipped"):
        skipped = load_dataset("KWS", root, on_error="skip")
    assert len(skipped.y_train) + len(skipped.y_test) == len(whole.y_train) + len(whole.y_test)
