// Events of the platform's own, ready to be pushed about the phone's user.

const LATER = () => Math.floor(Date.now() / 1000) + 30 * 86400;

/** Words, and the event as the control API takes it. */
export const EVENTS = [
  ["客服接入会话", () => ({ event: "kf_create_session", kf_account: "agent01@demobank" })],
  ["客服关闭会话", () => ({ event: "kf_close_session", kf_account: "agent01@demobank" })],
  ["客服转接会话", () => ({ event: "kf_switch_session", from_kf_account: "agent01@demobank", to_kf_account: "agent02@demobank" })],
  ["来历不明的模板回执", () => ({ event: "template_send_job_finish", message_id: 1, status: "success" })],
  ["用户资料变更", () => ({ event: "user_info_modified" })],
  ["用户撤回授权", () => ({ event: "user_authorization_revoke", revoke_info: "205" })],
  ["用户注销微信账号", () => ({ event: "user_authorization_cancellation" })],
  ["管理订阅通知：拒收", () => ({ event: "subscribe_msg_change_event", list: [{ template_id: "tplDemo", accept: false }] })],
  ["发布完成", () => ({ event: "publish_job_finish", publish_id: 2247500099, status: 0, article_id: "aDemo" })],
  ["资质认证成功", () => ({ event: "qualification_verify_success", expired_time: LATER() })],
  ["名称认证失败", () => ({ event: "naming_verify_fail", fail_reason: "材料不清晰" })],
  ["认证即将到期", () => ({ event: "annual_renew", expired_time: LATER() })],
  ["认证已过期", () => ({ event: "verify_expired", expired_time: LATER() })],
  ["调试事件 debug_demo", () => ({ event: "other", name: "debug_demo", fields: {} })],
];
