{{- define "transponder.pod" -}}
metadata:
  labels:
    {{- include "transponder.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "transponder.serviceAccount" . }}
  automountServiceAccountToken: false
  # Kubernetes would set TRANSPONDER_PORT and others, which the server would read as settings.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.media.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  # On SIGTERM the server waits until its streams have ended, for drainSeconds at most. Then it takes 5 s.
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds 30 }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: transponder
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [--config, /etc/transponder/flashphoner.properties]
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        {{- if include "transponder.clustered" . }}
        - name: TRANSPONDER_CLUSTER_NODE_ID
          value: $(POD_NAME)
        {{- if gt (int .Values.ports.rtmp) 0 }}
        - name: TRANSPONDER_CLUSTER_RTMP_ADDRESS
          value: {{ printf "%s:%v" .Values.cluster.rtmpHost .Values.ports.rtmp | quote }}
        {{- end }}
        {{- end }}
        {{- if not (or .Values.media.hostNetwork .Values.media.addresses .Values.settings.ip) }}
        - name: TRANSPONDER_IP
          valueFrom: {fieldRef: {fieldPath: status.hostIP}}
        {{- end }}
        {{- range $key, $name := .Values.secretSettings }}
        - name: TRANSPONDER_{{ $key | upper | replace "." "_" }}
          valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret }}, key: {{ $name }}}}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- range $name, $port := dict "http" .Values.ports.http "https" .Values.ports.https "ws" .Values.ports.ws "wss" .Values.ports.wss "rtmp" .Values.ports.rtmp "rtmps" .Values.ports.rtmps }}
        {{- if gt (int $port) 0 }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
        {{- end }}
        - {name: media, containerPort: {{ .Values.ports.media }}, protocol: UDP{{ if .Values.media.hostPort }}, hostPort: {{ .Values.ports.media }}{{ end }}}
        {{- if gt (int .Values.ports.mediaTCP) 0 }}
        - {name: media-tcp, containerPort: {{ .Values.ports.mediaTCP }}{{ if .Values.media.hostPort }}, hostPort: {{ .Values.ports.mediaTCP }}{{ end }}}
        {{- end }}
      startupProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .Values.startupProbe | nindent 8 }}
      livenessProbe:
        httpGet: {path: /health/live, port: http}
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet: {path: /health/ready, port: http}
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        {{- if .Values.media.addresses }}
        - {name: settings, mountPath: /etc/transponder/flashphoner.properties, subPathExpr: $(POD_NAME).properties, readOnly: true}
        {{- else }}
        - {name: settings, mountPath: /etc/transponder, readOnly: true}
        {{- end }}
        - {name: state, mountPath: /var/lib/transponder}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.secretFiles }}
        - {name: secrets, mountPath: /run/transponder/secrets, readOnly: true}
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - {name: tls, mountPath: /run/transponder/tls, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: settings
      configMap: {name: {{ include "transponder.fullname" . }}}
    - name: tmp
      emptyDir: {}
    {{- if eq .Values.kind "DaemonSet" }}
    {{- if and .Values.persistence.enabled .Values.persistence.hostPath }}
    - name: state
      hostPath: {path: {{ .Values.persistence.hostPath }}, type: Directory}
    {{- else }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- else if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- if .Values.secretFiles }}
    - name: secrets
      secret:
        secretName: {{ .Values.existingSecret }}
        # fsGroup makes it 0440.
        defaultMode: 0400
        items:
          {{- range $name := values .Values.secretFiles | uniq | sortAlpha }}
          - {key: {{ $name }}, path: {{ $name }}}
          {{- end }}
    {{- end }}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
        defaultMode: 0400
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq .Values.kind "StatefulSet" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "transponder.selector" . | nindent 10 }}
  {{- end }}
{{- end }}
