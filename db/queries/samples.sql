-- stage_samples --
-- Where the samples of a batch wait within its transaction.
CREATE TEMP TABLE IF NOT EXISTS incoming_samples ON COMMIT DELETE ROWS AS
SELECT
       sandbox_uid, recorded_at, cluster, tenant, user_name, pod_uid, execution_uid,
       cpu_seconds_total, cpu_cores, memory_bytes, memory_peak_bytes, memory_limit_bytes,
       disk_used_bytes, disk_read_bytes, disk_write_bytes, network_rx_bytes, network_tx_bytes,
       network_rx_packets, network_tx_packets, processes, custom
  FROM soulbox.resource_metrics
  WITH NO DATA;

-- copy_samples --
-- The samples of a batch.
COPY pg_temp.incoming_samples (
        sandbox_uid, recorded_at, cluster, tenant, user_name, pod_uid, execution_uid,
        cpu_seconds_total, cpu_cores, memory_bytes, memory_peak_bytes, memory_limit_bytes,
        disk_used_bytes, disk_read_bytes, disk_write_bytes, network_rx_bytes, network_tx_bytes,
        network_rx_packets, network_tx_packets, processes, custom)
FROM STDIN (FORMAT BINARY);

-- insert_samples --
-- New samples; one that is there already, or of the same moment, is left alone.
INSERT INTO soulbox.resource_metrics (
        sandbox_uid, recorded_at, cluster, tenant, user_name, pod_uid, execution_uid,
        cpu_seconds_total, cpu_cores, memory_bytes, memory_peak_bytes, memory_limit_bytes,
        disk_used_bytes, disk_read_bytes, disk_write_bytes, network_rx_bytes, network_tx_bytes,
        network_rx_packets, network_tx_packets, processes, custom)
SELECT
       sandbox_uid, recorded_at, cluster, tenant, user_name, pod_uid, execution_uid,
       cpu_seconds_total, cpu_cores, memory_bytes, memory_peak_bytes, memory_limit_bytes,
       disk_used_bytes, disk_read_bytes, disk_write_bytes, network_rx_bytes, network_tx_bytes,
       network_rx_packets, network_tx_packets, processes, custom
  FROM pg_temp.incoming_samples
ON CONFLICT DO NOTHING;

-- newest_samples --
-- The newest sample of each of these Sandboxes, if it is not too old.
SELECT DISTINCT ON (sandbox_uid) sandbox_uid, recorded_at, cpu_cores, memory_bytes
  FROM soulbox.resource_metrics
 WHERE sandbox_uid = ANY (%(uids)s::uuid[])
   AND recorded_at > now() - make_interval(secs => %(seconds)s)
 ORDER BY sandbox_uid, recorded_at DESC;
