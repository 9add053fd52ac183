//! What `mist calibrate` and `mist validate` say of the files that they read.

pub(super) const CALIBRATE: &str = "\
Examples:
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB -o h100.ron
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB --use gemm=vllm-0.19.0 --use moe.bf16=vllm-0.14.0
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB --no-scores -o h100.ron --force
  mist calibrate my_steps --gpu H100-SXM5-80GB --whole-steps -o steps.ron
  mist calibrate --help                    with the columns of the files";

/// [`CALIBRATE`] and the columns of what it reads.
pub(super) fn calibrate_at_length() -> String {
    format!("{CALIBRATE}{CALIBRATE_FILES}")
}

const CALIBRATE_FILES: &str = "

The folder and those in it are searched for these files; others are passed over. Of your own, with all these columns
and no others, lines that begin with # being comments, and 20 shapes (n, k) or 300 rows of an attention at least:

  mist_gemm.csv              kind (bf16, fp8, fp8_block, nvfp4, int4, mxfp4), m, n, k, time_us
                             weights of n outputs by k inputs, m tokens
  mist_attention.csv         phase (prefill, decode), head_dim, kv_cache (bf16, fp8), window (0: none), batch,
                             length, heads, kv_heads, time_us
                             length: tokens of a prompt, or keys of a decoding sequence
  mist_all_reduce.csv        library (custom, nccl), ranks, bytes, time_us

Of aiconfigurator, .parquet or .csv, ENGINE-VERSION by the name of their folder, latency in ms:

  gemm_perf                  gemm_dtype, m, n, k, latency
  context_attention_perf, generation_attention_perf
                             batch_size, isl, step, num_heads, num_key_value_heads, head_dim, kv_cache_dtype,
                             window_size, latency
  moe_perf                   moe_dtype, num_tokens, hidden_size, inter_size, topk, num_experts, moe_tp_size,
                             moe_ep_size, distribution, latency; kernel_source for int4 and mxfp4
  custom_allreduce_perf, nccl_perf
                             allreduce_dtype or nccl_dtype, op_name, num_gpus, message_size, backend, latency

Of LLMServingSim, a model of the catalog by the name of their folder:

  MODEL/tpN/attention.csv    prefill_chunk, kv_prefill, n_decode, kv_decode, time_us
  MODEL/tpN/dense.csv        layer, tokens, time_us

With --whole-steps, 8 steps of a deployment and stage at least:

  mist_steps.csv             model, gpu, engine, version, tp, weights, kv_cache, stage (prefill, decode), batch,
                             tokens (of each prompt, computed; decode: 1), context (tokens of each that are cached;
                             decode: that each attends to), time_ms
  step_static_batch_trtllm.csv
                             model, gpu, tp, precision, batch_size, isl, osl, first_token_latency_ms,
                             token_to_token_ms

A profile needs a table of products, and attention of prompts and of decoding in one format of the KV cache where
models have attention that is measured. Rows faster than the device can be are left out, tables full of them refused.
`Empirical(profile: \"h100.ron\")` takes a profile, `Empirical(steps: \"steps.ron\")` whole steps.

Errors are of what was held out: a fifth of the shapes at a time, foretold from the others.";

pub(super) const VALIDATE: &str = "\
Examples:
  mist validate facts                      every set whose files are there
  mist validate scenarios/validation       the paper's runs, predicted
  mist validate facts static vllm019
  mist validate facts trtllm --every 10    every tenth row of the closed loops
  mist validate facts nim --format json | jq '.[0].points'
  mist validate --help                     with the columns of the files";

/// [`VALIDATE`] and the columns of what it reads.
pub(super) fn validate_at_length() -> String {
    format!("{VALIDATE}{VALIDATE_FILES}")
}

const VALIDATE_FILES: &str = "

Sets, their files in FOLDER and the columns of those; others are passed over. Lines that begin with # are comments.

  runs        runs.csv       your own: run, scenario (a file, from FOLDER), set (changes as of `mist run --set`, with ;
                             between), and what was measured, empty where nothing was: makespan_s, ttft_ms, tpot_ms,
                             e2e_ms, out_tok_s
  genz        genz/grid.csv  model, hw, tp, phase, batch, context_or_input_tokens, linear_ms, attn_ms, comm_ms,
                             weights_MiB_per_npu, kv_MiB_per_npu
  llmcompass  llmcompass/measured.csv
                             op, derived_latency_us
  opsums      no file, and only when it is asked for
  static      e2e/step_static_batch_trtllm.csv
                             model, gpu, tp, precision, batch_size, isl, osl, first_token_latency_ms,
                             token_to_token_ms
  vllm019     e2e/open_loop_vllm019_rtxpro6000_llama8b_requests.csv
                             input_toks, output_toks, arrival_s, ttft_ms, tpot_ms, e2e_ms
  vllm015     e2e/open_loop_vllm015_h100.csv
                             model, tp, stage_index, rate_rps_nominal, stage_duration_s, nominal_isl, nominal_osl,
                             max_num_seqs, max_num_batched_tokens, e2e_mean
  trtllm, sglang
              e2e/closed_loop_llama8b_h100_h200.csv, and of trtllm e2e/closed_loop_trtllm_qwen32b_fp8_h100.csv
                             engine, gpu, tp_size, isl, osl, concurrency, ttft_ms_mean, tpot_ms_mean
  nim         e2e/closed_loop_trtllm_llama8b_a100_h100.csv
                             gpu, tp, precision, isl, osl, concurrency, ttft_ms_mean, itl_ms_mean, req_per_s,
                             latency_ms_mean";
