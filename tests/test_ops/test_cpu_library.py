import threading
import time

import pytest
import torch

from mmtaformer.ops import cpu_library, spatio_temporal_deformable_attention

from .attention_cases import attention_by_mmcv, make_case

load_again = cpu_library._load.__wrapped__


@pytest.fixture
def empty_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    return tmp_path


def files_in(folder):
    return {path.suffix for path in folder.rglob("*") if path.is_file()}


def test_kernels_are_there():
    assert cpu_library.is_available()


def test_without_a_compiler_pytorch_computes(monkeypatch, empty_folder):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(UserWarning, match="no compiler no-such-compiler"):
        assert not load_again()
    assert files_in(empty_folder) <= {".lock"}
    monkeypatch.setattr(cpu_library, "_load", lambda: False)
    case = make_case(relative_frames=(-1, 1)).with_grad()
    output = spatio_temporal_deformable_attention(*case)
    torch.testing.assert_close(output, attention_by_mmcv(case))
    output.sum().backward()
    assert case.value.grad.any()


def test_failed_build_leaves_a_log_and_no_library(monkeypatch, empty_folder, tmp_path):
    monkeypatch.setattr(cpu_library, "__file__", str(tmp_path / "build.py"))
    (tmp_path / "build.py").write_text("raise SystemExit('not today')")
    with pytest.warns(UserWarning, match="log says why"):
        assert not load_again()
    (log,) = empty_folder.rglob("*.log")
    assert "not today" in log.read_text()
    assert not list(empty_folder.rglob("*.so"))


def test_processes_that_start_together_build_once(monkeypatch, empty_folder):
    built, loaded = [], []

    def build(path):
        built.append(path)
        time.sleep(0.1)
        path.touch()

    monkeypatch.setattr(cpu_library, "_build", build)
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    starters = [threading.Thread(target=load_again) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(timeout=60)
    assert len(built) == 1
    assert loaded == built * 4


def test_source_torch_and_processor_have_libraries_of_their_own(monkeypatch, tmp_path):
    paths = {cpu_library._library_path()}
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.99")
        paths.add(cpu_library._library_path())
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
        paths.add(cpu_library._library_path())
    source = tmp_path / "other.cpp"
    source.write_text("// other")
    monkeypatch.setattr(cpu_library, "_SOURCES", [source])
    paths.add(cpu_library._library_path())
    assert len(paths) == 4
