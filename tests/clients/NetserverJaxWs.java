// Calls the NetServer services as a program on JAX-WS does: with the classes wsimport makes from the WSDLs. README.md says what
// it is told and what it prints.

import java.net.URL;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.xml.ws.Holder;
import com.microsoft.schemas._2003._10.serialization.arrays.ArrayOfstring;
import net.superoffice.ws.crm.netserver.services86.License;
import net.superoffice.ws.crm.netserver.services86.ModuleLicense;
import net.superoffice.ws.crm.netserver.services86.ModuleLicenseLink;
import net.superoffice.ws.crm.netserver.services86.SoCredentials;
import net.superoffice.ws.crm.netserver.services86.SoExceptionInfo;
import net.superoffice.ws.crm.netserver.services86.SoExtraInfo;
import net.superoffice.ws.crm.netserver.services86.SoPrincipal;
import net.superoffice.ws.crm.netserver.services86.SoPrincipalCarrier;
import net.superoffice.ws.crm.netserver.services86.SoTimeZone;
import net.superoffice.ws.crm.netserver.services86.WcfLicenseService;
import net.superoffice.ws.crm.netserver.services86.WcfSoPrincipalService;

class NetserverJaxWs {
    // What the header of an answer brings. The time zone is not kept: it would go out with the
    // next call.
    static final Holder<SoExceptionInfo> exception = new Holder<>();
    static final Holder<SoExtraInfo> extra = new Holder<>();
    static final Holder<Boolean> succeeded = new Holder<>();

    static Holder<SoTimeZone> none() {
        return new Holder<>();
    }

    public static void main(String[] given) throws Exception {
        License license = new WcfLicenseService(new URL(given[0])).getBasicHttpBindingLicense();
        SoPrincipal principal = new WcfSoPrincipalService(new URL(given[1])).getBasicHttpBindingSoPrincipal();
        String user = given[2], password = given[3], owner = given[4];
        var signedIn = new Holder<Boolean>();
        var credentials = new Holder<SoCredentials>();
        principal.authenticateUsernamePassword(user, password, new Holder<SoPrincipalCarrier>(), credentials, signedIn, null,
            exception, extra, succeeded, none());
        var ticket = credentials.value;

        var info = license.getLicenseFromLicenseServer(owner, null, ticket, none(), exception, extra, succeeded);
        var status = license.getLicenseStatusFromLicenseServer(owner, null, ticket, none(), exception, extra, succeeded);
        var names = new ArrayOfstring();
        names.getString().addAll(List.of("SQLBACKUP", "EXCHANGEBACKUP"));
        var assigned = license.assignThirdPartyLicenses(
            Integer.valueOf(given[5]), owner, names, null, ticket, none(), exception, extra, succeeded);

        var garbage = new SoCredentials();
        garbage.setTicket("7T:garbage");
        license.getLicenseStatusFromLicenseServer(owner, null, garbage, none(), exception, extra, succeeded);
        var refusal = exception.value.getExceptionType();
        var wrong = new Holder<Boolean>();
        principal.authenticateUsernamePassword(user, password + "?", new Holder<SoPrincipalCarrier>(),
            new Holder<SoCredentials>(), wrong, null, exception, extra, succeeded, none());

        var current = info.getCurrent();
        System.out.println("{\"signed_in\":" + signedIn.value
            + ",\"ticket\":\"" + ticket.getTicket() + "\",\"wrong_password\":" + wrong.value
            + ",\"company\":\"" + current.getCompanyName() + "\",\"expires\":\"" + current.getExpiryDate()
            + "\",\"modules\":" + list(current.getModuleLicenses().getModuleLicense().stream().map(ModuleLicense::getModuleName))
            + ",\"free\":" + info.getExtendedModuleLicenses().getExtendedModuleLicense().stream()
                .map(module -> module.getNumberOfLicensesFree()).collect(Collectors.toList())
            + ",\"status\":\"" + status.getLicenseStatus().value()
            + "\",\"assigned\":" + list(assigned.getModuleLicenseLink().stream().map(ModuleLicenseLink::getName))
            + ",\"exception\":\"" + refusal + "\"}");
    }

    static String list(Stream<String> texts) {
        return texts.map(text -> "\"" + text + "\"").collect(Collectors.joining(",", "[", "]"));
    }
}
