"""What GPUs there are, how they are, and which of them a request means, replayed from recorded answers."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pynvml
import pytest
import torch
from fake_nvml import GIB, MIB, Card, Error, FakeNvml, a100, a100_with_mig, gtx_1660_ti, process, rtx_2060

from vda.compute.computer import torch_device
from vda.compute.precision import policy
from vda.errors import DeviceError, UsageError
from vda.machine.choice import Choice, choose_devices
from vda.machine.devices import Device, Inventory, cpu_device
from vda.outlook.doctor import examine
from vda.reporter import Silence
from vda.supervisor.resolve import Resolver, RunSettings

OWNERS = {100: "me", 200: "alice", 201: "alice", 300: "bob"}


def inventory(cards: list[Card], start: Error | None = None, **environment: str) -> Inventory:
    return Inventory(FakeNvml(cards, start), environment, user="me", owner_of=OWNERS.get)


def five_1660s() -> list[Card]:
    return [gtx_1660_ti(number) for number in range(5)]


def numbers(choice: Choice) -> list[int | None]:
    return [device.index for device in choice.devices]


class TestInventory:
    def test_five_equal_cards_are_told_apart_by_uuid(self) -> None:
        devices = inventory(five_1660s()).list_devices()
        assert len({device.id for device in devices}) == 5
        assert [device.index for device in devices] == [0, 1, 2, 3, 4]
        assert {(device.name, device.capability, device.memory_total_bytes) for device in devices} == {
            ("NVIDIA GeForce GTX 1660 Ti", (7, 5), 6 * GIB)
        }

    def test_a_worker_sees_its_card_and_no_other(self) -> None:
        device = inventory([rtx_2060(), a100()]).list_devices()[1]
        assert device.environment() == {"CUDA_VISIBLE_DEVICES": "GPU-a1000000-1111-4222-8333-777788889999"}
        assert cpu_device(1).environment() == {}

    def test_reading_in_units_for_people(self) -> None:
        cards = inventory([a100(nvmlDeviceGetComputeRunningProcesses=[process(100), process(200, None)])])
        reading = cards.reading(cards.list_devices()[0])
        assert (reading.utilisation_percent, reading.temperature_c) == (99, 64)
        assert (reading.power_w, reading.power_limit_w) == (390.0, 400.0)
        assert (reading.memory_used_bytes, reading.memory_total_bytes) == (2 * GIB, 40 * GIB)
        assert reading.throttling == ("power limit",)
        assert [(p.pid, p.user, p.is_ours, p.memory_bytes) for p in reading.processes] == [
            (100, "me", True, 500 * MIB),
            (200, "alice", False, None),
        ]
        assert reading.problem is None

    def test_old_driver_is_asked_in_its_own_words(self) -> None:
        card = gtx_1660_ti(0, nvmlDeviceGetComputeRunningProcesses_v2=[process(300)])
        cards = inventory([card])
        reading = cards.reading(cards.list_devices()[0])
        assert reading.temperature_c == 83
        assert reading.throttling == ("heat",)
        assert [p.user for p in reading.processes] == ["bob"]

    def test_idle_clocks_are_no_throttling(self) -> None:
        cards = inventory([rtx_2060()])
        assert cards.reading(cards.list_devices()[0]).throttling == ()

    def test_a_card_that_tells_nothing_is_still_a_device(self) -> None:
        cards = inventory([Card({"nvmlDeviceGetUUID": "GPU-0"})])
        (device,) = cards.list_devices()
        assert (device.id, device.capability, device.memory_total_bytes) == ("GPU-0", None, None)
        reading = cards.reading(device)
        assert reading.problem is None
        assert (reading.utilisation_percent, reading.power_w, reading.processes) == (None, None, ())

    def test_cpu_is_a_device_with_a_reading(self) -> None:
        device = cpu_device()
        assert (device.id, device.kind, device.index, device.label) == ("cpu", "cpu", None, "cpu")
        assert device.name and device.memory_total_bytes
        reading = inventory([]).reading(device)
        assert reading.memory_total_bytes == device.memory_total_bytes
        assert reading.memory_used_bytes is not None and 0 < reading.memory_used_bytes < device.memory_total_bytes

    def test_units_for_bfloat16_are_those_that_pytorchs_own_look_at_the_cpu_finds(self) -> None:
        torch = pytest.importorskip("torch")
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if not all(hasattr(torch.cpu, name) for name in names) or sys.platform != "linux":
            pytest.skip("this PyTorch or this system does not tell")
        assert cpu_device().has_bf16 == any(getattr(torch.cpu, name)() for name in names)

    def test_this_machine_answers(self) -> None:
        here = Inventory.of_this_machine()
        for device in here.list_devices():
            assert device.id.startswith(("GPU-", "MIG-"))
            assert here.reading(device).problem is None


class TestLostCards:
    def test_a_card_lost_after_listing_is_a_reading_that_says_so(self) -> None:
        cards = five_1660s()
        machine = inventory(cards)
        devices = machine.list_devices()
        cards[2].questions_until_lost = 0
        assert machine.reading(devices[2]).problem == "has fallen off the bus (a restart may bring it back)"
        assert [machine.reading(devices[i]).problem for i in (0, 1, 3, 4)] == [None] * 4

    @pytest.mark.parametrize("questions", range(12))
    def test_at_whatever_question_it_is_lost(self, questions: int) -> None:
        cards = [a100()]
        machine = inventory(cards)
        (device,) = machine.list_devices()
        cards[0].questions_until_lost = questions
        reading = machine.reading(device)
        assert reading.problem is None or "fallen off the bus" in reading.problem
        assert "fallen off the bus" in (machine.reading(device).problem or "")

    def test_a_card_lost_before_listing_keeps_the_others_numbers(self) -> None:
        cards = five_1660s()
        cards[1].questions_until_lost = 0
        survey = inventory(cards).survey()
        assert [device.index for device in survey.devices] == [0, 2, 3, 4]
        assert survey.problems == ("GPU 1 has fallen off the bus (a restart may bring it back).",)

    def test_auto_goes_on_without_it_and_says_so(self) -> None:
        cards = five_1660s()
        cards[3].questions_until_lost = 0
        choice = choose_devices("auto", inventory(cards))
        assert numbers(choice) == [0, 1, 2, 4]
        assert any("GPU 3 has fallen off the bus" in note for note in choice.notes)

    def test_auto_skips_a_card_lost_between_two_questions(self) -> None:
        cards = [rtx_2060(), a100()]
        machine = inventory(cards)
        machine.list_devices()
        # The survey asks six things of an A100 (handle, UUID, capability, MIG, UUID, name, memory): then silence.
        cards[1].questions_until_lost = 7
        choice = choose_devices("auto", machine)
        assert numbers(choice) == [0]
        assert [(device.index, "fallen off the bus" in reason) for device, reason in choice.skipped] == [(1, True)]

    def test_naming_a_lost_card_is_an_error(self) -> None:
        cards = [gtx_1660_ti(0)]
        machine = inventory(cards)
        cards[0].questions_until_lost = 7
        with pytest.raises(DeviceError, match=r"GPU 0 \(NVIDIA GeForce GTX 1660 Ti\) has fallen off"):
            choose_devices("0", machine)

    def test_a_device_the_driver_no_longer_knows(self) -> None:
        gone = Device("GPU-gone", "cuda", "NVIDIA A100", index=4)
        assert inventory([rtx_2060()]).reading(gone).problem == "is no longer known to the driver"


class TestNoDriver:
    @pytest.mark.parametrize("error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
    def test_no_driver_is_a_normal_machine(self, error: int) -> None:
        choice = choose_devices("auto", inventory([], Error(error)))
        assert [device.id for device in choice.devices] == ["cpu"]
        assert choice.notes == ()

    def test_no_nvml_module_is_one_too(self) -> None:
        machine = Inventory(None, {}, user="me", owner_of=OWNERS.get)
        assert machine.list_devices() == []
        assert [device.id for device in choose_devices("auto", machine).devices] == ["cpu"]

    def test_a_broken_driver_is_never_silently_the_cpu(self) -> None:
        broken = inventory([a100()], Error(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
        with pytest.raises(DeviceError, match="version mismatch") as caught:
            choose_devices("auto", broken)
        assert "--devices cpu" in caught.value.remedy
        with pytest.raises(DeviceError, match="driver does not answer"):
            choose_devices("0", broken)
        assert [device.id for device in choose_devices("cpu", broken).devices] == ["cpu"]


class TestAuto:
    def test_every_card(self) -> None:
        choice = choose_devices("auto", inventory(five_1660s()))
        assert numbers(choice) == [0, 1, 2, 3, 4]
        assert (choice.skipped, choice.notes) == ((), ())

    def test_other_peoples_cards_are_left_alone_and_said(self) -> None:
        busy = a100(nvmlDeviceGetComputeRunningProcesses=[process(200), process(201), process(300)])
        choice = choose_devices("auto", inventory([rtx_2060(), busy]))
        assert numbers(choice) == [0]
        ((device, reason),) = choice.skipped
        assert device.index == 1
        assert "2 of alice, 1 of bob" in reason

    def test_a_process_nobody_knows_counts_as_somebody_elses(self) -> None:
        busy = a100(nvmlDeviceGetComputeRunningProcesses=[process(99999)])
        assert "unknown user" in choose_devices("auto", inventory([busy, rtx_2060()])).skipped[0][1]

    def test_our_own_processes_are_no_reason(self) -> None:
        ours = a100(nvmlDeviceGetComputeRunningProcesses=[process(100)])
        assert numbers(choose_devices("auto", inventory([ours]))) == [0]

    def test_all_busy_falls_back_to_the_cpu_and_says_how_to_insist(self) -> None:
        busy = a100(nvmlDeviceGetComputeRunningProcesses=[process(200)])
        choice = choose_devices("auto", inventory([busy]))
        assert [device.id for device in choice.devices] == ["cpu"]
        assert any("--devices" in note for note in choice.notes)
        assert numbers(choose_devices("0", inventory([busy]))) == [0]


class TestVisibleDevices:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("3,1", [3, 1]),
            (" 4 , 0", [4, 0]),
            ("GPU-16600002", [2]),
            ("GPU-16600004-aaaa-4bbb-8ccc-0123456789ab,GPU-16600000", [4, 0]),
            ("gpu-16600001", [1]),
            ("0,2,-1,1", [0, 2]),
            ("1,7,2", [1]),
            ("1,GPU-1660,2", [1]),
        ],
    )
    def test_auto_stays_inside_in_its_order(self, value: str, expected: list[int]) -> None:
        assert numbers(choose_devices("auto", inventory(five_1660s(), CUDA_VISIBLE_DEVICES=value))) == expected

    @pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "0,0", "9"])
    def test_hidden_cards_leave_the_cpu(self, value: str) -> None:
        choice = choose_devices("auto", inventory(five_1660s(), CUDA_VISIBLE_DEVICES=value))
        assert [device.id for device in choice.devices] == ["cpu"]
        assert any("No GPU is free" in note for note in choice.notes)

    @pytest.mark.parametrize(
        ("value", "request_", "expected"),
        [("3,1", "cuda:0", 3), ("3,1", "cuda:1", 1), ("GPU-16600002", "cuda", 2)],
    )
    def test_cuda_numbers_count_inside(self, value: str, request_: str, expected: int) -> None:
        choice = choose_devices(request_, inventory(five_1660s(), CUDA_VISIBLE_DEVICES=value))
        assert numbers(choice) == [expected]

    def test_a_cuda_number_outside_is_an_error(self) -> None:
        with pytest.raises(DeviceError, match="no cuda:2: 2 GPUs are visible"):
            choose_devices("cuda:2", inventory(five_1660s(), CUDA_VISIBLE_DEVICES="3,1"))

    def test_a_named_card_outside_is_used_and_said(self) -> None:
        choice = choose_devices("0", inventory(five_1660s(), CUDA_VISIBLE_DEVICES="3,1"))
        assert numbers(choice) == [0]
        assert any("outside CUDA_VISIBLE_DEVICES" in note for note in choice.notes)

    @pytest.mark.parametrize(
        ("environment", "request_", "is_said"),
        [
            ({"CUDA_VISIBLE_DEVICES": "0"}, "auto", True),
            ({}, "cuda:0", True),
            ({}, "auto", False),
            ({}, "0", False),
            ({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "auto", False),
            ({"CUDA_VISIBLE_DEVICES": "GPU-a100"}, "cuda:0", False),
        ],
    )
    def test_numbers_on_unequal_cards(self, environment: dict[str, str], request_: str, is_said: bool) -> None:
        choice = choose_devices(request_, inventory([rtx_2060(), a100()], None, **environment))
        assert any("fastest first" in note for note in choice.notes) == is_said


class TestMig:
    def machine(self, **environment: str) -> Inventory:
        return inventory([rtx_2060(), a100_with_mig()], None, **environment)

    def test_slices_stand_in_place_of_their_card(self) -> None:
        devices = self.machine().list_devices()
        assert [(device.id[:4], device.index, device.memory_total_bytes) for device in devices] == [
            ("GPU-", 0, 6 * GIB),
            ("MIG-", 1, 20 * GIB),
            ("MIG-", 1, 5 * GIB),
        ]
        assert devices[1].capability == (8, 0)
        assert devices[1].name == "NVIDIA A100-SXM4-40GB MIG 3g.20gb"

    def test_a_slices_heat_and_power_are_its_cards(self) -> None:
        machine = self.machine()
        reading = machine.reading(machine.list_devices()[2])
        assert (reading.temperature_c, reading.power_w) == (64, 390.0)
        assert (reading.memory_total_bytes, reading.utilisation_percent) == (5 * GIB, None)

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ("MIG-5f6a7b8c-1111-5222-8333-000011112222", ["MIG-5f6a"]),
            ("MIG-1b", ["MIG-1b2c"]),
            ("1", ["MIG-1b2c", "MIG-5f6a"]),
            ("GPU-a1", ["MIG-1b2c", "MIG-5f6a"]),
            ("0,MIG-1b", ["GPU-2060", "MIG-1b2c"]),
        ],
    )
    def test_named(self, request_: str, expected: list[str]) -> None:
        assert [device.id[:8] for device in choose_devices(request_, self.machine()).devices] == expected

    def test_inside_cuda_visible_devices(self) -> None:
        choice = choose_devices("auto", self.machine(CUDA_VISIBLE_DEVICES="MIG-5f6a7b8c"))
        assert [device.id[:8] for device in choice.devices] == ["MIG-5f6a"]

    def test_a_beginning_of_two_slices_is_ambiguous(self) -> None:
        with pytest.raises(UsageError, match="more than one UUID"):
            choose_devices("MIG-", self.machine())


class TestNamed:
    @pytest.mark.parametrize(
        ("request_", "expected"),
        [("0,2", [0, 2]), ("4, 1", [4, 1]), ("GPU-16600003", [3]), ("gpu-16600003-AAAA", [3]), ("cuda:4", [4])],
    )
    def test_gpus(self, request_: str, expected: list[int]) -> None:
        assert numbers(choose_devices(request_, inventory(five_1660s()))) == expected

    def test_workers_on_the_cpu(self) -> None:
        choice = choose_devices("cpu,cpu", inventory(five_1660s()))
        assert [device.id for device in choice.devices] == ["cpu", "cpu:1"]

    def test_gpu_and_cpu_together(self) -> None:
        choice = choose_devices("cpu,1,cpu", inventory(five_1660s()))
        assert [device.kind for device in choice.devices] == ["cpu", "cuda", "cpu"]
        assert len({device.id for device in choice.devices}) == 3

    @pytest.mark.parametrize(
        ("request_", "error", "words"),
        [
            ("7", DeviceError, "no GPU 7 on this machine"),
            ("GPU-ffff", DeviceError, "no GPU GPU-ffff"),
            ("GPU-1660", UsageError, "more than one UUID"),
            ("0,0", UsageError, "more than once"),
            ("0,GPU-16600000", UsageError, "more than once"),
            ("gpu", UsageError, "'gpu' names no device"),
            ("", UsageError, "'' names no device"),
            ("0,,1", UsageError, "'' names no device"),
            ("auto,cpu", UsageError, "'auto' names no device"),
            ("cuda:x", UsageError, "'cuda:x' names no device"),
            ("-1", UsageError, "'-1' names no device"),
        ],
    )
    def test_what_cannot_be(self, request_: str, error: Any, words: str) -> None:
        with pytest.raises(error, match=words) as caught:
            choose_devices(request_, inventory(five_1660s()))
        assert caught.value.remedy.endswith(".")

    def test_an_absent_card_is_answered_with_those_there_are(self) -> None:
        with pytest.raises(DeviceError, match=r"there: GPU 0 \(NVIDIA GeForce RTX 2060\), GPU 1 \(NVIDIA A100"):
            choose_devices("2", inventory([rtx_2060(), a100()]))
        with pytest.raises(DeviceError, match="there: none"):
            choose_devices("0", inventory([]))


class TestUntested:
    """Stand-ins for what no machine at hand has: PyTorch's own answers are what is replayed."""

    def test_apples_gpu_is_taken_where_it_is_named_and_said_to_be_untried(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        choice = choose_devices("mps", inventory([]))
        (device,) = choice.devices
        assert (device.id, device.kind, device.label) == ("mps", "mps", "mps (Apple GPU)")
        assert "never tried" in choice.notes[0]
        assert torch_device(device.id) == torch.device("mps")
        assert policy(device, "vits").candidates == ("fp16", "bf16", "fp32")
        assert choose_devices("auto", inventory([])).devices == (cpu_device(),)

    def test_an_amd_card_is_one_of_a_rocm_build(self, monkeypatch: pytest.MonkeyPatch) -> None:
        card = SimpleNamespace(name="AMD Radeon RX 7900 XTX", total_memory=24 * GIB)
        monkeypatch.setattr(torch.version, "hip", "6.2")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
        first, second = choose_devices("rocm,rocm:1", inventory([])).devices
        assert (first.id, second.label) == ("rocm:0", "rocm:1 (AMD Radeon RX 7900 XTX)")
        # The second is the only one that its worker sees, and the first there.
        assert second.environment() == {"HIP_VISIBLE_DEVICES": "1"}
        assert torch_device(second.id) == torch.device("cuda:0")
        assert inventory([]).reading(second).problem is None
        monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3,5")
        (hidden,) = choose_devices("rocm:1", inventory([])).devices
        assert hidden.environment() == {"HIP_VISIBLE_DEVICES": "5"}

    def test_an_intel_gpu_is_one_that_openvino_lists(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A stand-in lists them, nothing runs on one."""
        names = {"CPU": "Xeon", "GPU.0": "Intel Arc A770", "GPU.1": "Intel Iris Xe", "NPU": "Intel AI Boost"}
        core = SimpleNamespace(available_devices=list(names), get_property=lambda name, what: names[name])
        monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
        choice = choose_devices("openvino:GPU", inventory([]))
        (device,) = choice.devices
        assert (device.id, device.label) == ("openvino:GPU.0", "openvino:GPU.0 (Intel Arc A770)")
        assert "never tried" in choice.notes[0]
        assert choose_devices("openvino:GPU.1", inventory([])).devices[0].name == "Intel Iris Xe"
        assert torch_device(device.id) == torch.device("cpu")
        assert policy(device, "vits").candidates == ("fp32",)
        assert inventory([]).reading(device).problem is None
        assert choose_devices("auto", inventory([])).devices == (cpu_device(),)
        told = {found.name: found for found in examine(tmp_path, inventory([]))}
        assert "never tried" in told["openvino:GPU.1 (Intel Iris Xe)"].found
        with pytest.raises(
            DeviceError, match=r"lists no openvino:GPU.2 \(there: openvino:GPU.0, openvino:GPU.1\)"
        ):
            choose_devices("openvino:GPU.2", inventory([]))
        with pytest.raises(UsageError, match="names no device"):
            choose_devices("openvino:NPU", inventory([]))
        monkeypatch.setitem(sys.modules, "openvino", None)
        with pytest.raises(DeviceError, match="there: none"):
            choose_devices("openvino:GPU", inventory([]))

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (RunSettings(), "by OpenVINO alone"),
            (RunSettings(engine="openvino", precision="bf16"), "float32 alone"),
            (RunSettings(engine="openvino", precision="fp16"), "float32 or bfloat16"),
        ],
    )
    def test_what_an_intel_gpu_is_not_offered_for_is_refused(self, settings: RunSettings, words: str) -> None:
        pytest.importorskip("openvino")
        intel = Device("openvino:GPU", "openvino", "Intel Arc A770")
        with pytest.raises(UsageError, match=words):
            Resolver(settings, [intel], cast(Any, None), Silence())._engine(settings)

    def test_what_this_pytorch_has_not_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(torch.version, "hip", None)
        for word in ("mps", "rocm", "rocm:3"):
            with pytest.raises(DeviceError, match="his PyTorch"):
                choose_devices(word, inventory([]))

    @pytest.mark.parametrize("word", ["mps:1", "rocm:", "rocm:x"])
    def test_what_means_none_is_refused(self, word: str) -> None:
        with pytest.raises(UsageError, match="names no device"):
            choose_devices(word, inventory([]))
