{{- define "pairlens.metadata" -}}
labels:
  {{- include "pairlens.selector" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .group }}
  {{- with .values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What all pods have alike: their user, their nodes. */ -}}
{{- define "pairlens.pod" -}}
securityContext:
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch # else every start walks over all weights
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "pairlens.unprivileged" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Image, rights, size. The root of files is read-only: Ray, caches and Python write below /tmp and the home. */ -}}
{{- define "pairlens.container" -}}
image: {{ include "pairlens.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "pairlens.unprivileged" . | nindent 2 }}
  readOnlyRootFilesystem: true # Ray and all caches write below /tmp and the home, which are volumes
resources: # requests = limits: evicted last
  {{- $size := deepCopy .values.resources }}
  {{- if eq .group "gpu" }}{{ $_ := set $size .values.resourceName "1" }}{{ end }}
  requests:
    {{- toYaml $size | nindent 4 }}
  limits:
    {{- toYaml $size | nindent 4 }}
{{- end -}}

{{- define "pairlens.mounts" -}}
- {name: shared-memory, mountPath: /dev/shm}
- {name: temporary, mountPath: /tmp}
- {name: home, mountPath: /home/pairlens}
{{- if and (eq .group "gpu") }}
- {name: models, mountPath: /models}
{{- end }}
{{- if eq .group "cpu" }}
{{- if .root.Values.jobs.enabled }}
- {name: jobs, mountPath: /jobs}
{{- end }}
{{- range $name, $secret := .root.Values.secrets }}
{{- if $secret.name }}
- {name: {{ $name | lower }}, mountPath: /etc/pairlens/secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- with .values.volumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- define "pairlens.volumes" -}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: 1Gi} # counts as the pod's memory
- name: temporary
  emptyDir: {}
- name: home
  emptyDir: {}
{{- if eq .group "gpu" }}
- name: models
  persistentVolumeClaim: {claimName: {{ include "pairlens.modelsClaim" .root }}}
{{- end }}
{{- if eq .group "cpu" }}
{{- if .root.Values.jobs.enabled }}
- name: jobs
  persistentVolumeClaim: {claimName: {{ include "pairlens.jobsClaim" .root }}}
{{- end }}
{{- range $name, $secret := .root.Values.secrets }}
{{- if $secret.name }}
- name: {{ $name | lower }}
  secret: {secretName: {{ $secret.name }}, defaultMode: 0440} # of the group 1000, by fsGroup
{{- end }}
{{- end }}
{{- end }}
{{- with .values.volumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- /* A worker's pod: it is drained before it ends, and is ready when its door is. */ -}}
{{- define "pairlens.worker" -}}
# Above the 150 s that drain.py waits, which are above every deployment's graceful_shutdown_timeout_s.
terminationGracePeriodSeconds: 180
automountServiceAccountToken: false
{{ include "pairlens.pod" . }}
{{- if and (eq .group "gpu") .values.runtimeClassName }}
runtimeClassName: {{ .values.runtimeClassName }}
{{- end }}
{{- if eq .group "cpu" }}
affinity:
  podAntiAffinity: # two doors on one machine would fall together
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "pairlens.selector" .root | nindent 14 }}
              app.kubernetes.io/component: cpu
{{- end }}
containers:
  - name: ray-worker
    {{- include "pairlens.container" . | nindent 4 }}
    ports:
      - {name: serve, containerPort: 8000}
      - {name: metrics, containerPort: 8080}
    env:
      {{- include "pairlens.environment" . | nindent 6 }}
    lifecycle:
      preStop:
        exec: {command: [python, /app/drain.py, "150"]}
    # This node's Ray and its door. Not /readyz: that is about the whole service, and with no endpoint
    # left callers would get a refused connection in place of our 503 with Retry-After.
    readinessProbe:
      exec:
        command:
          - bash
          - -c
          - >-
            wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz | grep success &&
            wget --tries 1 -T 5 -q -O- http://localhost:8000/-/healthz | grep success
      initialDelaySeconds: 10
      periodSeconds: 5
      timeoutSeconds: 10
      failureThreshold: 1
    volumeMounts:
      {{- include "pairlens.mounts" . | nindent 6 }}
volumes:
  {{- include "pairlens.volumes" . | nindent 2 }}
{{- end -}}

{{- define "pairlens.environment" -}}
{{- $limits := (fromYaml (include "pairlens.serveConfig" .root)).applications | first | dig "args" "limits" dict -}}
# Serve's own door reads no settings: two of the limits once more, for it.
- {name: PAIRLENS_MAX_BODY_BYTES, value: {{ $limits.max_body_bytes | int64 | quote }}}
- {name: PAIRLENS_MAX_BYTES_UNDER_WAY, value: {{ $limits.max_bytes_under_way | int64 | quote }}}
{{- with .root.Values.serve.tracing_config }}
{{- if .enabled }}
# Ray 2.60 hands the file's tracing_config to replicas alone; its proxy, where a trace begins, reads these.
- {name: RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH, value: {{ required "serve.tracing_config.exporter_import_path is missing" .exporter_import_path | quote }}}
{{- if hasKey . "sampling_ratio" }}
- {name: RAY_SERVE_TRACING_SAMPLING_RATIO, value: {{ .sampling_ratio | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- if .root.Values.highAvailability.enabled }}
- {name: RAY_gcs_rpc_server_reconnect_timeout_s, value: {{ .root.Values.highAvailability.reconnectTimeoutSeconds | quote }}}
{{- end }}
{{- if and (eq .group "cpu") .root.Values.jobs.enabled .root.Values.jobs.database.passwordSecret }}
- name: PGPASSWORD # PostgreSQL's own client reads it
  # Optional: until it is there /v1/jobs answers 503 and comparisons go on.
  valueFrom: {secretKeyRef: {name: {{ .root.Values.jobs.database.passwordSecret }}, key: {{ .root.Values.jobs.database.passwordKey }}, optional: true}}
{{- end }}
{{- if eq .group "gpu" }}
- {name: HF_HOME, value: /models/huggingface}
{{- with .root.Values.models.hub.endpoint }}
- {name: HF_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if .root.Values.models.hub.offline }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
{{- if .root.Values.models.hub.tokenSecret }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .root.Values.models.hub.tokenSecret }}, key: {{ .root.Values.models.hub.tokenKey }}, optional: true}}
{{- end }}
{{- end }}
{{- with .values.env }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
