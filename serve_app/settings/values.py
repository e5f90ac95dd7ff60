"""What operators decide, once, in `serve_config.yaml` under `args`.
Reads no environment and no file; unknown names are refused."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from serve_app.settings.agents import McpSettings
from serve_app.settings.image_urls import ImageUrlSettings
from serve_app.settings.strict import Strict

ProfileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"]
MIB = 1024 * 1024


class Limits(Strict):
    """Bounds checked before any work is done on a request."""

    max_body_bytes: PositiveInt = Field(64 * MIB, description="Whole request body.")
    max_bytes_under_way: PositiveInt = Field(
        256 * MIB,
        description="Bodies that have come and are not answered yet, all together, at Serve's proxy and again at each "
        "ingress replica; a body that would go over it gets 503. Of bodies sent in chunks, one of the largest.",
    )
    max_image_bytes: PositiveInt = Field(32 * MIB, description="One encoded image.")
    max_pixels: PositiveInt = Field(128_000_000, description="Width times height of one image, from its header.")
    max_side: PositiveInt = Field(20_000, description="Longest side in pixels.")
    max_decode_bytes: PositiveInt = Field(
        640 * MIB, description="Predicted peak memory to decode one image at the measured scale."
    )
    max_pdf_pages: PositiveInt = Field(500, description="Of one PDF in a batch.")
    max_chat_pictures: int = Field(10, ge=1, le=20, description="Of one conversation, at /v1/chat/completions.")
    max_chat_side: int = Field(
        1024, ge=64, le=4096, description="Pixels of a picture's longer side that the model is shown in a conversation."
    )
    max_chat_tokens: PositiveInt = Field(4096, description="Of one answer in a conversation.")
    max_chat_text_bytes: PositiveInt = Field(
        256 * 1024, description="All texts of one conversation together, as UTF-8."
    )
    max_scans: PositiveInt = Field(100, description="Scans of a progressive JPEG: each costs a pass over all pixels.")
    formats: tuple[ImageFormat, ...] = Field(
        ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"),
        min_length=1,
        description="MPO comes under JPEG. HEIC is taken where it is named, with `pip install pairlens[heic]`.",
    )
    max_measured_pixels: PositiveInt = Field(
        40_000_000, description="A larger image is measured scaled down, and the report says what could be missed."
    )
    max_processing_timeout_s: PositiveFloat = Field(120.0, description="Ceiling of `processing_timeout`.")
    max_body_timeout_s: PositiveFloat = Field(
        30.0, description="A body that takes longer to arrive is given up: a caller that drips holds no place."
    )
    max_pending_requests: PositiveInt = Field(
        64,
        description="Per ingress replica, one caller at most three quarters; more get 503 before their body is read.",
    )
    max_pending_per_caller: PositiveInt | None = Field(
        None, description="Per ingress replica and caller; more get 429 before their body is read."
    )
    requests_per_minute: PositiveInt | None = Field(
        None, description="Of one caller at the whole service, POST only; more get 429. None: no quota."
    )
    burst: PositiveInt = Field(20, description="How many of these one caller may send at once after a pause.")

    @model_validator(mode="after")
    def _room_for_one(self) -> Limits:
        if self.max_bytes_under_way < self.max_body_bytes:
            raise ValueError("limits.max_bytes_under_way is less than limits.max_body_bytes: no such body could pass")
        return self


class Access(Strict):
    """Who may call, and how one caller is told from another."""

    api_keys_file: str | None = Field(
        None, description="A line a key: its SHA-256 in hex and a name. Then every route under /v1 wants a key."
    )
    trusted_proxies: NonNegativeInt = Field(
        0, description="Proxies in front that each add an address to X-Forwarded-For. 0: the header is not believed."
    )


class PreprocessingSettings(Strict):
    """The CPU stage of one replica."""

    memory_budget_bytes: PositiveInt = Field(
        1536 * MIB, description="Predicted bytes of all pairs in work at once in one replica; further pairs wait."
    )
    pairs_at_once: PositiveInt = Field(4, description="Pairs one replica is sent at once; more wait their turn.")
    threads: PositiveInt = Field(2, description="Images decoded at once in one replica (Pillow releases the GIL).")
    text_reader: Literal["auto", "opencv", "onnxruntime", "none"] = Field(
        "auto",
        description="What runs the networks that read text, where they are installed (`pip install pairlens[text]`): "
        "auto takes onnxruntime where it is there. 350 MiB of the memory budget are theirs.",
    )


class CacheSettings(Strict):
    """Finished reports, kept for callers who ask the same again; equal questions at once are computed once."""

    report_cache_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Of reports in the memory of each ingress replica; 0 keeps none and computes equal questions each.",
    )
    ttl_s: PositiveFloat = Field(3600.0, description="How long a report is told again.")
    shared_report_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="Where jobs are on and no Redis is named: of reports in the job store, for all ingress replicas "
        "together; 0: each replica has its memory alone.",
    )
    redis_file: str | None = Field(
        None,
        description="File that holds the URL of a Redis for all replicas and nothing else: rediss://:password@host. "
        "Give that Redis a `maxmemory` and the policy allkeys-lru.",
    )
    redis_env: str | None = Field(
        None, description="Or: name of the environment variable that holds it, read at start."
    )

    @model_validator(mode="after")
    def _one_url(self) -> CacheSettings:
        if self.redis_file and self.redis_env:
            raise ValueError("name redis_file or redis_env, not both")
        if (self.redis_file or self.redis_env) and not self.report_cache_bytes:
            raise ValueError("a Redis is named, but report_cache_bytes is 0: no report would be kept")
        return self


class ScriptedFinding(Strict):
    """A change that the engine for tests names, true or not."""

    kind: Literal["changed", "added", "removed", "moved"] = "changed"
    box: tuple[int, int, int, int]
    description: str = "A scripted finding."


class ScriptedSettings(Strict):
    """How the deterministic engine for tests behaves."""

    delay_s: float = Field(0.0, ge=0, description="Seconds of work a request, polled for stop every 10 ms.")
    fails: bool = Field(False, description="Raise as a broken engine would.")
    answers_badly: bool = Field(False, description="Return text that is not what was asked for.")
    ignores_stop: bool = Field(False, description="Work on after deadline or cancel, as a hung kernel would.")
    says: str = Field("A scripted answer.", description="Its part in a conversation, word by word.")
    pause_s: float = Field(0.0, ge=0, description="Seconds before each of these words, polled for stop as well.")
    label: int = Field(0, ge=0, le=4, description="Which label gets the probability mass.")
    anchors: tuple[int, int] = Field((0, 4), description="The same, at its start: of equal and of unrelated pictures.")
    box: tuple[int, int, int, int] | None = Field(None, description="Where it sees every focus element, thousandths.")
    findings: tuple[ScriptedFinding, ...] = Field((), description="What else it says has changed.")
    boxes: Literal["thousandths", "thousandths_y_first", "pixels", "resized_pixels", "fractions"] | None = Field(
        "thousandths", description="In what it writes places, whatever it is asked for; None: never where they are."
    )
    sees_ghosts: bool = Field(False, description="See a change where nothing changed, too.")
    tally: str | None = Field(
        None, description="File that gets a line for each comparison: begun, stopped or answered, when, which pictures."
    )


class ServerSettings(Strict):
    """The OpenAI-compatible chat server behind engine `openai`."""

    base_url: str | None = Field(
        None, pattern=r"^https?://[^/@\s]+(/[^@?#\s]*)?$", description="Up to the version: http://127.0.0.1:8001/v1."
    )
    key_file: str | None = Field(None, description="File that holds the API key and nothing else.")
    key_env: str | None = Field(None, description="Or: name of the environment variable that holds it, read at start.")
    parallel_requests: PositiveInt = Field(8, description="Questions of one comparison at the server at once.")
    parallel_comparisons: PositiveInt = Field(
        8, description="Comparisons that one replica has at the server at once: a server that batches wants many."
    )

    @model_validator(mode="after")
    def _one_key(self) -> ServerSettings:
        if self.key_file and self.key_env:
            raise ValueError("name key_file or key_env, not both")
        return self


class ModelSettings(Strict):
    """Which vision-language engine assesses, and how it is loaded."""

    engine: Literal["none", "transformers", "openai", "scripted"] = "none"
    name: str | None = Field(
        None, description="Folder or hub id of a checkpoint (`transformers`), or the server's model (`openai`)."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub checkpoint.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="`auto`: the checkpoint's own; on a CPU float32, or bfloat16 if both are made for it."
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="`auto`: a GPU if one is visible.")
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    compile: Literal["auto", "off"] = Field(
        "auto", description="`auto`: on a GPU, steps of one token a question are compiled and replayed as CUDA graphs."
    )
    compile_cache: str | None = Field(
        None, description="Folder that keeps what was compiled over restarts; none: it is compiled anew at each start."
    )
    memory_share: float = Field(
        0.9, gt=0, le=1, description="Of the device's free memory, what one comparison may be predicted to take."
    )
    memory_budget_bytes: PositiveInt | None = Field(
        None, description="The same as a number of bytes; the smaller of both holds. Weights are not counted."
    )
    cache_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="Vision features kept for pictures that come again; 0 keeps none. Qwen3-VL-8B's of a picture of "
        "1024 x 1024 take 34 MB: on a GPU give it some GB.",
    )
    max_explanation_tokens: PositiveInt = Field(96, description="Longest explanation of one aspect or element.")
    max_summary_tokens: PositiveInt = Field(160, description="Longest summary.")
    thought_tokens: int = Field(
        0,
        ge=0,
        le=4096,
        description="Longest text that engine `transformers` lets the model write about a pair, in each order of the "
        "pictures, before the first question: a step for each token. 0: none, and a thinking model's thought is empty.",
    )
    gpus_per_replica: Literal["auto"] | float = Field(
        "auto", description="`auto`: 1 if the engine is `transformers` and the cluster has a GPU now, else 0."
    )
    stop_grace_s: PositiveFloat = Field(
        10.0, description="A job that works on this long after its deadline or cancel fails the replica's health check."
    )
    server: ServerSettings = ServerSettings()
    scripted: ScriptedSettings = ScriptedSettings()

    @property
    def comparisons_at_once(self) -> int:
        """Of one replica: one on a device of its own, more where a server batches them."""
        return self.server.parallel_comparisons if self.engine == "openai" else 1

    @property
    def is_asked(self) -> bool:
        """Whether there is a model at all; else the report is the measurement."""
        return self.engine != "none"

    @property
    def public_name(self) -> str | None:
        """The name callers see: a hub id as it is, of a folder its last part only, never a path of ours."""
        if self.name is None or not self.name.startswith(("/", ".", "~")):
            return self.name
        return self.name.rstrip("/").rpartition("/")[2]

    @model_validator(mode="after")
    def _named(self) -> ModelSettings:
        if self.engine in ("transformers", "openai") and not self.name:
            raise ValueError(f"model.name is required with engine {self.engine}")
        if self.engine == "openai" and not self.server.base_url:
            raise ValueError("model.server.base_url is required with engine openai")
        return self


class WebhookSettings(Strict):
    """Messages to a place of the caller's once its job has ended, signed by Standard Webhooks."""

    secret_file: str | None = Field(
        None, description="File that holds the signing secret and nothing else: whsec_ and base64. None: no webhooks."
    )
    secret_env: str | None = Field(
        None, description="Or: name of the environment variable that holds it, read at start."
    )
    allowed_networks: tuple[str, ...] = Field(
        (), description="Networks of one's own that may be called beside public addresses, such as 10.1.0.0/16."
    )

    @property
    def enabled(self) -> bool:
        return bool(self.secret_file or self.secret_env)

    @model_validator(mode="after")
    def _one_secret(self) -> WebhookSettings:
        if self.secret_file and self.secret_env:
            raise ValueError("name secret_file or secret_env, not both")
        for text in self.allowed_networks:
            ip_network(text)  # raises what is none
        return self


class JobSettings(Strict):
    """Comparisons that outlive their request, under /v1/jobs and /v1/batches."""

    enabled: bool = Field(
        False, description="Off: the routes under both answer 404 and say so, and nothing is written to disk."
    )
    folder: str = Field(
        "~/.local/state/pairlens",
        min_length=1,
        description="Where images wait for their turn: a folder that every replica sees, or a URL that fsspec reads.",
    )
    database_url: str | None = Field(
        None,
        pattern=r"^(sqlite:///.+|postgresql://.+)$",
        description="Where jobs are kept; none: the SQLite file jobs.sqlite in `folder`, for one machine. On a cluster "
        "PostgreSQL, its password not in this file: postgresql://user@host/name?passfile=/etc/pairlens/pgpass.",
    )
    max_stored_bytes: PositiveInt = Field(
        8 * 1024 * MIB,
        description="Images, configs, lists and reports of all jobs and batches; one that would go over it gets 507.",
    )
    max_stored_bytes_per_caller: PositiveInt | None = Field(
        None,
        description="The same of one caller (an address, where there are no API keys); None: three quarters.",
    )
    max_queued: PositiveInt = Field(
        10_000, description="Jobs that wait, of all callers, and batches; the next one gets 503."
    )
    parallel: PositiveInt = Field(
        8, description="Jobs in work at once; at each stage those who wait for an answer go first."
    )
    batch_pairs_at_once: PositiveInt = Field(
        16,
        description="Pairs of all batches in work at once, beside the jobs: what all Preprocessors are sent.",
    )
    keep_s: PositiveFloat = Field(24 * 3600.0, description="How long an ended job or batch keeps reports and images.")
    remember_s: PositiveFloat = Field(
        7 * 24 * 3600.0,
        description="How long after that its id answers 410 and not 404, and its Idempotency-Key is taken.",
    )
    webhooks: WebhookSettings = WebhookSettings()

    @property
    def database(self) -> str:
        """The URL of the database, named or not."""
        return self.database_url or f"sqlite:///{self.folder}/jobs.sqlite"

    @property
    def share_bytes(self) -> int:
        """Of one caller."""
        return self.max_stored_bytes_per_caller or self.max_stored_bytes * 3 // 4

    @property
    def reports_database(self) -> str:
        """Beside the jobs: the same PostgreSQL, or a SQLite file of its own, so that neither waits for the other."""
        url = self.database
        return f"{url.removesuffix('.sqlite')}-reports.sqlite" if url.startswith("sqlite:") else url

    @model_validator(mode="after")
    def _database_for_a_far_folder(self) -> JobSettings:
        if "://" in self.folder and self.database_url is None:
            raise ValueError("jobs.folder is a URL: name jobs.database_url, no SQLite file can lie there")
        return self


class Profile(Strict):
    """A named set of thresholds, as `pairlens calibrate` saves it or as a person writes it."""

    similarity_threshold: float | None = Field(None, ge=0, le=1, description="None: what a config has by default.")
    max_differences: NonNegativeInt | None = None
    max_changed_ratio: float | None = Field(None, ge=0, le=1)
    made: dict[str, str | int | float | bool | None] = Field(
        {}, max_length=64, description="How it came about, for people: date, pairs, engine, what it reached."
    )


class CanarySettings(Strict):
    """Labelled pairs that the service compares again and again, to notice when its answers change."""

    pairs: str | None = Field(
        None, description="A .csv or .jsonl of labelled pairs, or a folder of them, 500 at most. None: off."
    )
    baseline: str | None = Field(
        None,
        description="The results that `pairlens eval` kept of these pairs: what similarity is held against. None: the "
        "first round since the start.",
    )
    profile: ProfileName | None = Field(None, description="The thresholds that are asked with.")
    interval_s: PositiveFloat = Field(3600.0, description="From the begin of one round to the begin of the next.")
    max_drift: float = Field(0.02, gt=0, le=1, description="Of similarity, mean over the pairs; above it is a warning.")


class Settings(Strict):
    """All of it: the type of `args` in `serve_config.yaml`."""

    rev: str = Field("1", description="Change it to roll out new code with unchanged settings.")
    limits: Limits = Limits()
    access: Access = Access()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    model: ModelSettings = ModelSettings()
    cache: CacheSettings = CacheSettings()
    jobs: JobSettings = JobSettings()
    mcp: McpSettings = McpSettings()
    image_urls: ImageUrlSettings = ImageUrlSettings()
    profiles: dict[ProfileName, Profile] = Field({}, max_length=256, description="What `config.profile` may name.")
    profiles_dir: str | None = Field(
        None, description="A folder of more of them, NAME.yaml each, read once, where the service is started."
    )
    canary: CanarySettings = CanarySettings()

    @model_validator(mode="after")
    def _somewhere_to_run_the_canary(self) -> Settings:
        if self.canary.pairs is not None and not self.jobs.enabled:
            raise ValueError("canary.pairs is set, but jobs.enabled is not: the deployment Jobs runs the canary")
        return self
